"""A bundle's decode.json: how its search ranks texts.

How long they may get (`Beam.max_length`) is not in it: that is for a run to say, and earlier bundles, which have it
there, cut long recordings by it.
"""

from dataclasses import asdict
from typing import Any

from infra import storage
from infra.artifact_store import Artifact
from infra.errors import explain_bad_file
from models.interface import Beam
from tasks.bundles.bundle_files import read_object
from tasks.steps.read_config import read_config

DECODE = "decode.json"
WIDEST = 1 << 16  # hypotheses


def beam_options(beam: Beam) -> dict[str, Any]:
    """What decode.json holds."""
    return {name: value for name, value in asdict(beam).items() if name != "max_length"}


def read_beam(bundle: Artifact) -> Beam:
    """The beam of a bundle. Raises UserError for one that no search has."""
    told = read_object(bundle, DECODE)
    with explain_bad_file(storage.join(bundle.uri, DECODE)):
        beam = read_config(Beam, {name: value for name, value in told.items() if name != "max_length"})
        if beam.width > WIDEST:
            raise ValueError(f"width is {beam.width:,}, at most {WIDEST:,}")
        return beam
