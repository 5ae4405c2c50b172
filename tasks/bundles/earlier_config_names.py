"""Bundles from before names had one spelling, and architectures the field's: what they say, by the names of today."""

from typing import Any

KEYS = {"normalise": "normalize", "normaliser": "normalizer", "initialise": "initialize"}
ARCHITECTURES = {"echo_state": "echo_state_lm", "gated_convnet": "gated_conv_lm", "tdnn": "tdnn_classifier"}


def rename(told: Any) -> Any:
    if not isinstance(told, dict):
        return told
    renamed = {KEYS.get(key, key): rename(value) for key, value in told.items()}
    if "architecture" in renamed:
        renamed["architecture"] = ARCHITECTURES.get(renamed["architecture"], renamed["architecture"])
    return renamed
