"""Bundles of small recognizers that were never trained, with weights large enough that they write something."""

import json
from dataclasses import replace

import numpy as np
import torch

from infra.artifact_store import new_draft
from models import deep_speech_2, rnn_transducer
from models.interface import Beam
from tasks.bundles.model_bundle import AudioConfig, BundleContents, load_bundle, write_bundle
from tasks.features.front_end import CMVN, FrontEnd

LETTERS = [" ", *"abcdefgh"]
BANDS = 20
NORMALIZER = CMVN("corpus", tuple(np.linspace(-5, -3, BANDS)), tuple(np.linspace(1, 2, BANDS)))
FORWARD = {
    "left_frames": 1,
    "stride": 2,
    "encoder": {"layers": 3, "hidden_size": 24, "projection": 16},
    "time_reduction": 2,
    "reduce_after": 1,
    "embedding_size": 16,
    "prediction": {"layers": 1, "hidden_size": 20},
    "linear_size": 0,
    "joint_size": 32,
    "normalize": True,
}
TRANSDUCER = rnn_transducer.Config(**FORWARD)
BOTH_WAYS = rnn_transducer.Config(**(FORWARD | {"encoder": {"layers": 3, "hidden_size": 12, "bidirectional": True}}))
CTC = deep_speech_2.Config(channels=(), time_kernels=(), time_strides=(), frequency_kernels=(), frequency_strides=(),
                           cell="gru", share_input=False, norm="input", hidden_size=16, layers=1)  # fmt: skip


def tokenizer(symbols=LETTERS, kind="characters"):
    with new_draft("tokenizer") as out:
        out.put_json("tokenizer.json", {"kind": kind, "text": {}, "symbols": list(symbols)})
    return out.result()


def louder(name):
    """What a weight is multiplied by, so that an untrained model says something else from frame to frame."""
    return 8 if "join_frames" in name else 1 if "prefixes" in name or "prediction" in name else 3


def bundle_of(config, sound=None, *, seed=0, tokens=None):
    blank, space = (1.5, 1.5) if "joint_size" in vars(config) else (0.0, 0.0)
    torch.manual_seed(seed)
    tokens, sound = tokens or tokenizer(), sound or AudioConfig(FrontEnd(mels=BANDS), NORMALIZER)
    model = config.build(*sizes_of(tokens, sound))
    weights = {n: louder(n) * w if w.dim() > 1 else w for n, w in model.state_dict().items()}
    (named,) = (name for name in weights if name.endswith("output.bias"))
    bias = weights[named].clone()
    bias[1:4] -= 50.0  # no special tokens
    bias[0] += blank
    bias[4] += space
    weights[named] = bias
    return bundled(config, weights, tokens, sound)


def sizes_of(tokens, sound):
    """The features of a frame and the ids of the tokenizer."""
    heard = 13 if sound.front_end.kind == "given" else BANDS
    return heard, len(json.loads(tokens.read("tokenizer.json"))["symbols"]) + 4


def bundled(config, weights, tokens, sound):
    return write_bundle(
        BundleContents(
            config=config,
            sizes=sizes_of(tokens, sound),
            weights=weights,
            tokenizer=tokens,
            sound=sound,
            beam=Beam(width=4),
            training={"history": []},
            golden={},
        )
    )


def loaded(config, sound=None, **how):
    return load_bundle(bundle_of(config, sound, **how))


def with_front_end(**options):
    return AudioConfig(replace(FrontEnd(mels=BANDS), **options), NORMALIZER)
