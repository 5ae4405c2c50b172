"""Two commands at once on one corpus and store: one works, the other waits for it; both end with the same."""

import os
import subprocess
import sys
from pathlib import Path

WORK = """
import sys
from training_corpus import training
from models import deep_speech_2
from tasks.corpora.corpus_uri import IngestConfig, fingerprint, parse_corpus
from tasks.features.extract_features import extract_features
from tasks.features.front_end import FrontEnd
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.steps.in_process import run_in_process
from tasks.text.tokenizer import TokenizerConfig, fit_tokenizer
from tasks.training.run_training import Workers
from tasks.training.train_asr import train_asr
print("ready", flush=True)
sys.stdin.readline()
corpus, budget = parse_corpus(sys.argv[1]), float(sys.argv[2])
with run_in_process():
    shards = ingest_corpus(corpus, fingerprint(corpus), IngestConfig(error_budget=budget), ("train", "dev", "test"))
    tokenizer = fit_tokenizer(shards, TokenizerConfig())
    features = extract_features(shards, tokenizer, FrontEnd(sample_rate=8000, mels=8), 0.5)
    print(shards, tokenizer, features, train_asr(features, tokenizer, training(2), Workers(count=0)))
"""


def together(corpus, *budgets):
    """Processes that begin their work at the same moment; what each says."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", WORK, f"commonvoice:{corpus}"]
    several = [subprocess.Popen([*command, b], env=os.environ | {"PYTHONPATH": path}, **how) for b in budgets]
    for process in several:
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in several:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=300) for process in several]
    assert [process.returncode for process in several] == [0] * len(budgets), told
    assert not any("Traceback" in errors for _, errors in told)
    return told


def test_two_error_budgets_on_one_corpus(common_voice, artifact_root):
    """Another budget is another step, but the draft of its shards is the same."""
    told = together(common_voice, "0.05", "0.1")
    assert len({made for made, _ in told}) == 1
    assert any("is being made by another run" in errors for _, errors in told)
    assert not [path for path in (artifact_root / ".drafts").rglob("*") if path.is_file()]
    assert not list((artifact_root / ".locks").iterdir())
