"""What an archive's output keeps of the model that made it."""

from digit_translator import digit_translator

from flows.shared.archive_plan import plan_translation_archive
from tasks.bundles.find_model import find_model


def test_an_ensemble_is_known_by_its_members(artifact_root, tmp_path):
    """Its own bundle is in no registry, and perhaps in no store by then."""
    one = digit_translator()
    for model, members in ((one.uri, None), (f"{one.uri},{one.uri}", [{"bundle": one.digest}] * 2)):
        _, job, store = plan_translation_archive(model, str(tmp_path / "out"), ("parquet",), ())
        assert store.provenance["bundle"] == job.bundle.digest == find_model(model).digest
        assert store.provenance.get("members") == members
