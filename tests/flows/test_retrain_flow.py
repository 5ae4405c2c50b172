"""Retraining end to end on three small releases: what is taken in, who becomes champion, and what is refused."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import numpy as np
import pytest
import soundfile

sys.path.append(str(Path(__file__).parent.parent / "tasks"))
from three_releases import write_three  # noqa: E402
from tones import HERTZ, RATE, spoken  # noqa: E402

from infra.errors import UserError  # noqa: E402
from tasks.steps.in_process import run_in_process  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours
ALIKE = ("leaks.speakers=false", "leaks.recordings=false", "settle_seconds=0.05", "promotion.min_utterances=10")
NETWORK = ("scratch=asr_small", "model.hidden_size=16", "model.layers=1", "features.mels=16", "beam.width=1")
SMALL = (*ALIKE, *NETWORK, "fit.error_budget=0.5", "fit.best_by=wer")


def tones(folder, count=150):
    """Sentences of letters, each a tone, no two alike."""
    folder.mkdir()
    random, letters, rows, said = np.random.default_rng(0), list(HERTZ), [], {""}
    while len(rows) < count:
        jumps = random.integers(1, len(letters), random.integers(4, 8))
        text = " ".join("".join(letters[k] for k in jumps.cumsum() % len(letters)).split())
        if text in said:
            continue
        said.add(text)
        number = len(rows)
        split = {6: "test", 7: "dev", 9: "test"}.get(number % 10, "train")
        speaker = f"{split}{number // 10 % 5}"
        soundfile.write(folder / f"clip_{number}.wav", spoken(text, random), RATE)
        told = {"path": f"clip_{number}.wav", "sentence": text, "split": split, "client_id": speaker}
        rows.append(told | {"locale": "xx", "up_votes": "2", "down_votes": "0", "gender": "fm"[number % 2]})
    return folder, rows


@pytest.fixture
def three(tmp_path, monkeypatch):
    for name, place in (("ARTIFACTS", "artifacts"), ("CACHE", "cache")):
        monkeypatch.setenv(f"SCRIPTORIUM_{name}", str(tmp_path / place))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/record.db")
    (tmp_path / "watched").mkdir()
    return write_three(tmp_path / "all", *tones(tmp_path / "clips"))


@pytest.fixture
def drop(three, tmp_path):
    """Put a release, by its number, where it is watched."""

    def put(number):
        place = Path(three.places[number].partition(":")[2])
        shutil.copytree(place, tmp_path / "watched" / place.name)

    return put


@pytest.fixture
def retraining(tmp_path, monkeypatch):
    from flows.retraining.retrain_model import Retraining
    from flows.retraining.retrain_plan import RetrainRequest, plan_retraining

    class Cut(Retraining):
        """One for whom the MLflow server goes away when all is ready to be decided."""

        def _decide(self, *given):
            with monkeypatch.context() as patch:
                patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
                patch.setenv("SCRIPTORIUM_PATIENCE", "0.1")
                return super()._decide(*given)

    def run(*settings, recipe="auto", kind=Retraining):
        order = RetrainRequest(str(tmp_path / "watched"), "toy", "xx", recipe, (*SMALL, *settings), 0)
        with run_in_process():
            return kind(order, plan_retraining(order)).run()

    run.cut = Cut

    return run


@pytest.fixture
def decoded(tmp_path):
    """Bytes that the champion writes: `evaluate` of the first version's test rows, `transcribe-archive` of clips."""
    from flows.kinds.speech import SPEECH
    from flows.shared.archive_plan import plan_archive
    from flows.shared.audio_files import EXTENSIONS
    from flows.shared.evaluation_plan import search_plan
    from infra import storage
    from infra.model_registry import resolve_model
    from tasks.archives.output_store import OF_A_RUN
    from tasks.archives.plan_work import plan_work
    from tasks.archives.run_parts import ArchiveRun
    from tasks.bundles.model_bundle import bundle_front_end, bundle_tokenizer, import_model
    from tasks.datasets.assemble_features import assemble_features, extract_version_features
    from tasks.datasets.dataset_head import find_version

    def evaluated():
        bundle, version = import_model(resolve_model("toy@champion")), find_version("toy", "1")
        frames = extract_version_features(version, bundle_front_end(bundle))
        features = assemble_features(version, frames, bundle_tokenizer(bundle), 0.5)
        (said,) = SPEECH.score(bundle, features, search_plan(bundle), "test").said
        return [said.read(name) for name in said.names()]

    def transcribed(out):
        plan, job, store = plan_archive("toy@champion", str(out), ("jsonl",), ["vad.kind=none"])
        store.open()
        work = plan_work(store, str(tmp_path / "clips" / "clip_1*.wav"), EXTENSIONS, plan.parts)
        work.freeze(store)
        ArchiveRun(job, store, 1)(list(work.parts.values()), 1.0)
        written = sorted(name for name in storage.list_files(str(out)) if name.endswith(".jsonl"))
        return [storage.read(str(out / name)) for name in written if name not in OF_A_RUN]

    def run():
        with run_in_process():
            made = [evaluated(), transcribed(tmp_path / f"out{len(list(tmp_path.glob('out*')))}")]
        assert all(made)
        return made

    return run


def champion():
    from infra.tracking import find_version

    return find_version("toy", "champion")


def test_three_releases(three, drop, retraining, decoded, tmp_path):
    from infra import model_registry
    from tasks.datasets.dataset_head import find_version
    from tasks.datasets.version_index import describe_version
    from tasks.steps.parquet_parts import read_parts

    first = retraining()
    assert (first.challenger, first.told["told"]) == (
        None,
        f"nothing new below {tmp_path}/watched; nothing was trained",
    )
    drop(0)
    begun = retraining("fit.epochs=2")
    assert (champion(), begun.page, begun.told["dataset"]["number"]) == ("1", None, 1)
    before = decoded()

    drop(1)
    (tmp_path / "watched" / "README").write_text("of no release")
    with pytest.raises(UserError, match="no MLflow answers at http://127.0.0.1:9") as problem:
        retraining("fit.epochs=15", "fit.learning_rate=1e-2", kind=retraining.cut)
    assert "\n" not in str(problem.value)
    assert champion() == "1", "nothing is promoted"
    better = retraining("fit.epochs=15", "fit.learning_rate=1e-2")
    assert [one["version"] for one in model_registry.list_models("toy")] == ["1", "2"], "it went on where that stopped"
    found = better.page.read_json("decision.json")
    assert describe_version(find_version("toy"))["changes"] == three.changes[1]
    assert found["promoted"], found["reason"]
    assert (champion(), better.challenger.version) == ("2", "2")
    bundle = better.challenger.outcome.bundle.read_json("training.json")
    assert bundle["init_from"] == begun.challenger.outcome.bundle.digest, "it went on from the champion"
    letters = better.challenger.data.tokenizer.read_json("tokenizer.json")["symbols"]
    assert {*"mended"} <= {*letters}, "which learned letters that came with the release"
    assert len(found["better"]) > len(found["worse"])
    heard = {row["key"] for row in found["better"]}
    page = better.page.read("report.html").decode()
    assert "<audio" in page
    assert "Promoted" in page
    assert heard <= {row["key"] for row in read_parts(better.challenger.outcome.data[2])}
    assert {row["slice"] for row in found["slices"]} == {"gender", "length", "speaker"}
    after = decoded()
    assert all(now != then for now, then in zip(after, before, strict=True)), "both commands use the new champion"

    assert retraining("fit.epochs=15", "fit.learning_rate=1e-2").challenger is None, "nothing is new"
    noise = retraining("fit.epochs=1", "fit.learning_rate=1e-9")
    assert noise.page.read_json("decision.json")["reason"].startswith("not clearly better")
    worse = retraining("fit.epochs=1", recipe="asr_small")
    assert worse.page.read_json("decision.json")["reason"].startswith("worse than the champion")
    assert (champion(), decoded()) == ("2", after)
    assert model_registry.find_aliases("toy", worse.challenger.version) == ["challenger"]
    told = model_registry.version_tags("toy", worse.challenger.version)[model_registry.DECISION_TAG]
    assert f"scriptorium promote toy {worse.challenger.version}" in told

    model_registry.rollback("toy")
    assert (champion(), decoded()) == ("1", before)

    for weights in [
        *(tmp_path / "artifacts" / "mlflow").rglob("bundle/weights.pt"),
        *tmp_path.glob("cache/**/weights.pt"),
    ]:
        weights.write_bytes(weights.read_bytes()[:-9])
    drop(2)
    with pytest.raises(
        UserError, match="the champion, toy/1, cannot be used .*weights.*scriptorium rollback"
    ) as problem:
        retraining()
    assert "\n" not in str(problem.value)
    assert (champion(), describe_version(find_version("toy"))["number"]) == ("1", 2)


def test_releases_that_cannot_be_taken_in(three, drop, retraining, tmp_path):
    """Of another language, then the true one; a segment waits for a release that it may rest upon."""
    from tasks.datasets.dataset_head import list_datasets

    drop(0)
    (release,) = (tmp_path / "watched").iterdir()
    for table in release.rglob("*.tsv"):
        table.write_text(table.read_text().replace("\txx\t", "\tyy\t"))
    with pytest.raises(UserError, match="is of yy, the data set of xx"):
        retraining()
    drop(2)
    with pytest.raises(UserError, match="a delta segment, which waits for cv-corpus-20.0"):
        retraining()
    assert list_datasets() == []


def test_a_second_run_waits_for_the_first(three, tmp_path, monkeypatch):
    from flows.retrain import retrain
    from infra import lock

    def second():
        with run_in_process():
            return retrain.fn(str(tmp_path / "watched"), "toy", "xx", workers=0)

    said = Queue()  # not capsys, which drops what a thread writes while it is read
    monkeypatch.setattr(lock, "tell_user", said.put)
    with ThreadPoolExecutor() as beside:
        with lock.hold_lock("retrain-toy", "the first run"):
            told = beside.submit(second)
            assert said.get(timeout=120).startswith("a model of data set toy is being made by another run")
            assert not told.done(), "it has not looked at any release"
        assert not told.result()["trained"]
