"""A bundle's decode.json: how its search ranks texts.

How long they may get (`Beam.max_length`) is not in it: that is for a run to say, and earlier bundles, which have it
there, cut long recordings by it.
"""

from dataclasses import asdict
from typing import Any

from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam

DECODE = "decode.json"


def beam_options(beam: Beam) -> dict[str, Any]:
    """What decode.json holds."""
    return {name: value for name, value in asdict(beam).items() if name != "max_length"}


def read_beam(bundle: Artifact) -> Beam:
    """The beam of a bundle. Raises UserError for one that no search has."""
    told = bundle.read_json(DECODE)
    try:
        return Beam(**{name: value for name, value in told.items() if name != "max_length"})
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{bundle.uri}/{DECODE}: {error}; use the version that made it, or train again") from error
