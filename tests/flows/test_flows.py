"""The whole way on a small corpus of tones: trained, decoded, scored, published; then nothing is done twice."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours
RATE = 8000
SMALL = ["model.hidden_size=24", "model.layers=1", "fit.epochs=2", "features.sample_rate=8000", "ingest.shard_mb=0.3"]


def tones(folder):
    """Words of two letters, each letter a tone; train, dev and test as a NeMo manifest."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for split, count in (("train", 40), ("dev", 6), ("test", 6)):
        rows = []
        for i in range(count):
            words = ["".join(random.choice(list("abcd"), 2)) for _ in range(random.integers(1, 4))]
            letters = " ".join(words)
            parts = [np.sin(2 * np.pi * 300 * (1 + "abcd".find(c)) * np.arange(960) / RATE) for c in letters]
            wave = np.concatenate(parts) * 0.3 + 0.01 * random.standard_normal(960 * len(letters))
            soundfile.write(folder / f"{split}{i}.wav", wave, RATE)
            rows.append(json.dumps({"audio_filepath": f"{split}{i}.wav", "text": letters, "speaker": f"s{i % 3}"}))
        (folder / f"{split}.jsonl").write_text("\n".join(rows))
    return folder


@pytest.fixture
def s3(monkeypatch):
    """A moto server with an empty bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)])
    endpoint = f"http://127.0.0.1:{port}"
    named = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret-of-test"}
    for name, value in (named | {"AWS_DEFAULT_REGION": "us-east-1"}).items():
        monkeypatch.setenv(name, value)
    for _ in range(600):
        try:
            urllib.request.urlopen(endpoint, timeout=1)
            break
        except OSError:
            time.sleep(0.1)
    import boto3

    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="artifacts")
    yield "s3://artifacts/run"
    server.kill()
    server.wait()


def states_of(flow, *arguments, **named):
    """The flow's result, and the name of the state of each of its task runs, once the server has recorded them all."""
    from prefect import task_engine
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    create, created = task_engine._create_task_run_locally, []

    def noted(*arguments, **named):
        created.append(create(*arguments, **named))
        return created[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_engine, "_create_task_run_locally", noted)
        state = flow(*arguments, **named, return_state=True)
    result = state.result()
    # The server hears of a task run by an event, and may be behind: what it has not heard of is not in its answer.
    ids = {run.id for run in created if run.flow_run_id == state.state_details.flow_run_id}
    with get_client(sync_client=True) as client:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        for _ in range(600):
            runs = client.read_task_runs(flow_run_filter=only, limit=100)
            if {run.id for run in runs if run.state and run.state.is_final()} == ids:
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"the server has {len(runs)} of {len(ids)} task runs after a minute")
    return result, {run.name.split("-")[0] + str(i): run.state.name for i, run in enumerate(runs)}


def the_whole_way(corpus, root):
    from flows.evaluate import evaluate_model
    from flows.train_asr import train_asr
    from infra import storage
    from infra.artifact_store import artifact_at

    name = "s3" if storage.is_s3(root) else "local"
    call = {"corpus": corpus, "recipe": "auto", "settings": SMALL, "workers": 0, "model_name": name}
    result, first = states_of(train_asr, **call)
    assert sorted(first.values()) == ["Cached", *["Completed"] * (len(first) - 1)], "it is ingested once"
    assert result["recipe"] == "asr_small"
    assert result["recipe_reason"].startswith("0.0 h of training audio")
    assert result["report"].startswith(root)
    html = storage.read(result["report"]).decode()
    assert html.startswith("<!doctype html>")
    assert f"scriptorium train-asr --corpus {corpus} --recipe auto --set model.hidden_size=24" in html
    assert all(f'<section id="{name}"' in html for name in ("comparison-test", "errors-test", "corpus", "run"))
    assert "dev shares 3 of its 3 speakers with train" in html
    assert set(result["metrics"]) == {"test", "dev"}
    assert result["metrics"]["test"]["utterances"] == 6
    shards = artifact_at(result["paths"]["shards"])
    told = shards.read_json("summary.json")["splits"]
    assert {s: t["kept"] for s, t in told.items()} == {"train": 40, "dev": 6, "test": 6}
    again, second = states_of(train_asr, **call)
    assert again == result
    assert set(second.values()) == {"Cached"}, "a second run does nothing"
    assert len(second) == len(first)

    measured, _ = states_of(evaluate_model, model=f"{name}@champion", corpus=corpus, split="test")
    assert measured["metrics"]["test"] == result["metrics"]["test"]
    return result, call


def test_on_a_local_folder(prefect_server, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
    result, call = the_whole_way(f"manifest:{tones(tmp_path / 'corpus')}", str(tmp_path / "artifacts"))
    it_goes_on_from_the_champion(result, call)
    the_registry_has_the_last_word(result, call)
    what_is_in_the_folder_is_measured(result, call["corpus"], tmp_path)


def it_goes_on_from_the_champion(result, call):
    """Fine-tuned: recorded with what it started from."""
    from flows.train_asr import train_asr
    from infra.artifact_store import artifact_at
    from infra.mlflow_client import client

    settings = (f"init_from={call['model_name']}@champion", "fit.epochs=1", "fit.freeze=members.*.convolutions")
    tuned = train_asr(**call | {"settings": settings, "model_name": "fine-tuned"})
    assert tuned["recipe"] == "asr_fine_tune"
    told, source = artifact_at(tuned["paths"]["bundle"]).read_json("training.json"), result["digests"]["bundle"]
    assert told["init_from"] == source
    assert told["fit"]["freeze"] == ["members.*.convolutions"]
    run = client().get_run(tuned["run_id"]).data
    assert (run.tags["scriptorium.init_from"], run.params["recipe"]) == (source, "asr_fine_tune")


def the_registry_has_the_last_word(result, call):
    """A cached run says what its model is registered as by now; and the curve of dev has no point of epoch 0."""
    from flows.shared.run_summary import text_table
    from flows.train_asr import train_asr
    from infra import model_registry, tracking

    client = tracking.client()
    curve = client.get_metric_history(result["run_id"], "dev_wer")
    assert sorted(point.step for point in curve) == list(range(1, len(curve) + 1))
    assert client.get_run(result["run_id"]).data.metrics["final_dev_wer"] == result["metrics"]["dev"]["wer"]
    assert (result["model"], result["version"]) == (f"{call['model_name']}@champion", "1")
    again = tracking.register(result["run_id"], call["model_name"], {})
    model_registry.set_alias(call["model_name"], "champion", again)
    cached = train_asr(**call)
    assert (cached["model"], cached["version"], again) == (f"{call['model_name']}/1", "1", "2")
    assert f"{call['model_name']}@champion is version 2 now" in text_table(cached)
    client.delete_model_version(call["model_name"], "1")
    client.delete_registered_model_alias(call["model_name"], "champion")
    assert "version 1 was taken away, no version is" in text_table(train_asr(**call))


def what_is_in_the_folder_is_measured(result, corpus, tmp_path):
    """Not what the store holds under the digest that a folder's manifest names; and an empty split says why."""
    from flows.evaluate import evaluate_model
    from infra.errors import UserError

    folder = tmp_path / "elsewhere"
    shutil.copytree(result["paths"]["bundle"], folder)
    weights = folder / "weights.pt"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"elsewhere.*weights\.pt"):
        evaluate_model(model=str(folder), corpus=corpus, split="test")
    only = tmp_path / "only-train"
    shutil.copytree(corpus.removeprefix("manifest:"), only, ignore=shutil.ignore_patterns("dev*", "test*"))
    with pytest.raises(UserError, match="has no test split: of its rows 40 are train; name another"):
        evaluate_model(model=result["paths"]["bundle"], corpus=f"manifest:{only}", split="test")


def test_the_search_is_tuned_with_a_model_of_the_transcripts(prefect_server, tmp_path, monkeypatch):
    from flows.evaluate import evaluate_model
    from flows.train_asr import train_asr
    from flows.tune_decoding import tune_decoding
    from infra import model_registry, storage
    from infra.artifact_store import artifact_at
    from infra.errors import UserError
    from tasks.bundles.model_bundle import load_bundle

    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    corpus, fused = f"manifest:{tones(tmp_path / 'corpus')}", ["transcript_model.unit=words", "beam.lm_weight=0.3"]
    call = {"corpus": corpus, "recipe": "deep_speech_2_demo", "workers": 0, "model_name": "tuned"}
    trained = train_asr(settings=[*SMALL, *fused], **call)
    bundle = load_bundle(artifact_at(trained["paths"]["bundle"]))
    assert bundle.lm is not None
    assert bundle.beam.lm_weight == 0.3
    other, states = states_of(train_asr, settings=[*SMALL, *fused[:1], "beam.lm_weight=0.9"], **call)
    assert [name for name, state in states.items() if state == "Completed" and name.startswith("train")] == []
    assert other["run_id"] != trained["run_id"], "what was registered first stays as it was"
    assert artifact_at(model_registry.resolve_model("tuned/1")).digest == trained["digests"]["bundle"]

    grid = ("grid.lm_weight=0,0.3,1", "grid.word_bonus=0,1")  # the trained model's beam is among these
    tuned = tune_decoding(model="tuned@champion", corpus=corpus, settings=grid, model_name="tuned")
    page = storage.read(tuned["report"]).decode()
    assert page.count("<svg") == 1
    told = artifact_at(tuned["paths"]["bundle"]).read_json("decode.json")
    assert told["lm_weight"] in {0, 0.3, 1}
    assert tuned["metrics"]["dev"]["wer"] <= trained["metrics"]["dev"]["wer"]
    measured = evaluate_model(model=tuned["model"], corpus=corpus, split="dev")
    assert measured["metrics"]["dev"] == tuned["metrics"]["dev"], "the weights are the bundle's defaults"

    (tmp_path / "nothing").mkdir()
    for flow in (evaluate_model, tune_decoding):
        with pytest.raises(UserError, match="has no coverage"):  # before it is found that the corpus has nothing in it
            flow(model="tuned@champion", corpus=f"manifest:{tmp_path}/nothing", settings=("beam.coverage=1",))


def test_on_s3(prefect_server, tmp_path, monkeypatch, s3):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", s3)
    monkeypatch.setenv("SCRIPTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "on-s3")
    the_whole_way(f"manifest:{tones(tmp_path / 'corpus')}", s3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--corpus", "an4:/nowhere", "--recipe", "deep_speech_2_an4"], "/nowhere does not exist"),
        (["--corpus", "demo:", "--recipe", "deep_speech_3"], "no such recipe"),
        (["--corpus", "demo:", "--recipe", "deep_speech_2_demo", "--set", "fit.epoch=3"], "did you mean fit.epochs"),
        (["--recipe", "deep_speech_2_demo"], "--corpus"),
        (["--corpus", "demo:", "--recipe", "asr_small", "--workers", "-1"], "workers -1"),
        (["--corpus", "demo:", "--recipe", "asr_small", "--alias", "v1"], "'v1' is reserved"),
    ],
)
def test_a_wrong_command_is_one_line_and_nothing_is_started(arguments, says):
    command = [sys.executable, "-W", "ignore", "-m", "flows.train_asr", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
