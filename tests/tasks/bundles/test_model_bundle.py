"""Bundles that are not what they were, or not of this version: one line each."""

from pathlib import Path

import pytest
from untrained import CTC, bundle_of

from infra.artifact_store import new_draft
from infra.errors import UserError
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
