"""What a model is compared with: the champion, and the run before on the same data, as MLflow remembers them.

A run that has been published is compared with what there was before it, so that the same command finds the same again.
"""

import time
from datetime import UTC, datetime

from infra import model_registry, tracking
from infra.artifact_store import Artifact
from infra.tracking import RecordedRun
from tasks.scoring.compare_transcripts import Baseline

SAID_TAG = "digest."  # before the kind of what a run's model wrote


def find_baselines(
    bundle: Artifact, data: str, name: str, run_key: str = "", said: str = "transcripts"
) -> tuple[Baseline, ...]:
    """data: the digest of what the bundle was measured on. name: the registered model whose champion counts, "" for
    none. run_key: of the training, where the run is one. said: the kind of what models of its kind write.

    The champion is the one of before the version that this run has registered; the run before is the last that had
    ended on this data when this one began. Neither is there where it has the same bundle.
    """
    runs = tracking.find_runs(tracking.DATA_TAG, data)
    others = [run for run in runs if run.tags.get(tracking.BUNDLE_TAG) != bundle.digest]
    own = _own_run(bundle, run_key)
    began = own.started if own else int(time.time() * 1000)
    before = max((run for run in others if 0 < run.ended <= began), key=lambda run: run.ended, default=None)
    champion = _champion(bundle, name, own)
    found = list[Baseline]()
    if champion:
        version, champion_bundle = champion
        measured = [run for run in others if run.tags.get(tracking.BUNDLE_TAG) == champion_bundle]
        role = "champion, which is the run before, too" if before in measured else "champion"
        found.append(_baseline(role, f"{name} version {version}", measured, said))
    if before and not (champion and before.tags.get(tracking.BUNDLE_TAG) == champion[1]):
        when = datetime.fromtimestamp(before.started / 1000, UTC)
        found.append(_baseline("run before", f"{before.name}, {when:%Y-%m-%d %H:%M} UTC", [before], said))
    return tuple(found)


def _own_run(bundle: Artifact, run_key: str) -> RecordedRun | None:
    if not run_key:
        return None
    runs = tracking.find_runs(tracking.KEY_TAG, tracking.run_key_for(run_key, bundle.digest))
    return runs[0] if runs else None


def _champion(bundle: Artifact, name: str, own: RecordedRun | None) -> tuple[str, str] | None:
    """Version and bundle's digest."""
    versions = tracking.run_versions(own.run_id, name) if own and name else set[str]()
    first = min(map(int, versions), default=None)
    past = [v for v in (model_registry.list_champions(name) if name else []) if first is None or int(v) < first]
    for version in reversed(past):
        if tracking.find_version(name, version):
            digest = model_registry.version_tags(name, version).get("bundle", "")
            return (version, digest) if digest and digest != bundle.digest else None
    return None


def _baseline(role: str, name: str, runs: list[RecordedRun], said: str) -> Baseline:
    """With what the model of the latest run that has left some said, where this store still has it."""
    tag = SAID_TAG + said
    digests = [run.tags[tag] for run in runs if tag in run.tags]
    kept = [found for digest in digests if (found := Artifact(said, digest)).exists()]
    problem = "" if kept else f"its {said} are not in this store any more" if digests else "not measured on this data"
    return Baseline(role=role, name=name, transcripts=kept[0] if kept else None, problem=problem)
