"""Bundles that are not what they were, or not of this version: one line each."""

from pathlib import Path

import numpy as np
import pytest
from untrained import BANDS, CTC, bundle_of

from flows.shared.evaluation_plan import search_plan
from infra.artifact_store import new_draft
from infra.errors import UserError
from models.interface import Beam
from tasks.bundles.earlier_config_names import rename
from tasks.bundles.model_bundle import load_bundle

pytestmark = pytest.mark.usefixtures("artifact_root")


def test_a_changed_bundle_is_refused_by_name():
    artifact = bundle_of(CTC)
    weights = Path(artifact.uri, "weights.pt")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"weights\.pt"):
        load_bundle(artifact)


def test_a_bundle_of_earlier_names_is_read():
    assert rename(
        {"architecture": "tdnn", "options": {"recurrent": {"initialise": {"bias": "zero"}}, "layers": 2}}
    ) == {
        "architecture": "tdnn_classifier",
        "options": {"recurrent": {"initialize": {"bias": "zero"}}, "layers": 2},
    }
    artifact = bundle_of(CTC)
    told = artifact.read_json("features.json")
    front_end = {{"normalize": "normalise"}.get(name, name): value for name, value in told["front_end"].items()}
    assert front_end != told["front_end"]
    with new_draft("bundle") as out:
        for name in artifact.names():
            out.put(name, artifact.file(name))
        out.put_json("features.json", {"front_end": front_end, "normaliser": told["normalizer"]})
    earlier, now = load_bundle(out.result()), load_bundle(artifact)
    assert earlier.sound == now.sound


@pytest.mark.parametrize("change", [{"hidden_size": 9}, {"unheard_of": 1}])
def test_a_bundle_of_another_version_is_refused(change):
    artifact = bundle_of(CTC)
    spec = artifact.read_json("model.json")
    with new_draft("bundle") as out:
        for name in artifact.names():
            out.put(name, artifact.file(name))
        out.put_json("model.json", spec | {"options": spec["options"] | change})
    with pytest.raises(UserError, match=r"weights\.pt is of another version of deep_speech_2; use the version"):
        load_bundle(out.result())


def with_file(artifact, name, told):
    with new_draft("bundle") as out:
        for kept in set(artifact.names()) - {name}:
            out.put(kept, artifact.file(kept))
        out.put_json(name, told)
    return out.result()


def test_a_limit_of_length_that_an_earlier_bundle_stored_cuts_nothing():
    artifact = bundle_of(CTC)
    told = artifact.read_json("decode.json")
    assert "max_length" not in told, "a run says it, not a model"
    earlier = load_bundle(with_file(artifact, "decode.json", told | {"max_length": 3}))
    assert earlier.beam == load_bundle(artifact).beam == Beam(width=4)
    source = earlier.source(np.random.default_rng(0).standard_normal((300, BANDS)).astype(np.float16))
    assert len(earlier.model.search(source, earlier.beam)[0][0].tokens) > 3
    assert search_plan(with_file(artifact, "decode.json", told | {"max_length": 3})).beam.max_length == 0


@pytest.mark.parametrize(
    "told", [{"lm_weight": float("nan")}, {"width": 0}, {"width": "many"}, {"of_another_version": 1}, []]
)
def test_a_beam_that_no_search_has_is_refused_by_the_name_of_its_file(told):
    with pytest.raises(UserError, match=r"decode\.json: .*; use the version that made it"):
        load_bundle(with_file(bundle_of(CTC), "decode.json", told))
