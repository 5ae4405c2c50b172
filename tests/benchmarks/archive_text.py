"""translate-archive on one long document: memory that does not grow with it, and the same bytes whatever is killed.

    python -m tests.benchmarks.archive_text memory      the largest memory of a run over 10,000 lines and 200,000
    python -m tests.benchmarks.archive_text chaos       200,000 lines, killed by force at random moments

The translator is a small one that was never trained; the work is done in one process, without Ray, whose own memory
tests.benchmarks.archive measures.
"""

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tasks")]

from archives.conftest import contents, store_at
from archives.text.small_translator import LETTERS, translator_bundle

from models.interface import Beam
from tasks.archives.archive_job import TEXT
from tasks.archives.plan_work import plan_work
from tasks.archives.run_parts import ArchiveRun
from tasks.archives.text.cut_documents import CutDocument, TextPartConfig
from tasks.archives.text.report_translations import report_translations
from tasks.archives.text.translate_parts import TranslationJob
from tasks.batches.batch_sampler import BatchingConfig
from tasks.decoding.translate import TranslationConfig
from tasks.documents.document import DocumentConfig
from tasks.documents.formats import SUFFIXES
from tasks.steps.in_process import run_in_process

SIZES = (10_000, 200_000)


def write_lines(folder: Path, count: int) -> Path:
    """Lines of up to eight words of letters, hardly one of them twice."""
    drawn, place = random.Random(count), folder / f"{count}.txt"
    with place.open("w") as out:
        for _ in range(count):
            words = ("".join(drawn.choices(LETTERS[1:27], k=drawn.randint(1, 9))) for _ in range(drawn.randint(0, 8)))
            out.write(" ".join(words) + "\n")
    return place


def run(source: str, output: str) -> None:
    batching = BatchingConfig(frames_per_batch=1 << 16, utterances_per_batch=512)
    config = TranslationConfig(beam=Beam(width=1, max_length=4), batching=batching)
    documents, parts = DocumentConfig(split_sentences="lines"), TextPartConfig()
    job = TranslationJob(
        bundle=translator_bundle(),
        config=config,
        documents=documents,
        formats=("parquet", "document"),
        decoding="bench",
    )
    store = store_at(output, formats=["parquet", "document"])
    with run_in_process(), store.hold():
        store.open()
        work = plan_work(store, source, SUFFIXES, parts, CutDocument(documents, parts))
        work.freeze(store)
        summary = ArchiveRun(job, store, 1, TEXT)(list(work.parts.values()), 1.0)
        told = report_translations(store, work, summary, documents, 0.0)
    megabytes, counts = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, told["counts"]
    lines = f"{counts['lines']:,.0f} lines in, {counts['lines_out']:,.0f} out, {told['parts']:,} parts"
    print(f"{lines}, {told['tokens_a_second']:,.0f} tokens a second, {megabytes:,.0f} MB at most", flush=True)


def start(source: Path, output: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.benchmarks.archive_text", "run", str(source), str(output)])


def memory(folder: Path) -> None:
    for count in SIZES:
        assert start(write_lines(folder, count), folder / f"out-{count}").wait() == 0


def chaos(folder: Path, count: int = SIZES[-1]) -> None:
    source, seed = write_lines(folder, count), int(time.time())
    assert start(source, folder / "whole").wait() == 0
    drawn, killed = random.Random(seed), 0
    print("seed", seed, flush=True)
    while True:
        child, begun = start(source, folder / "out"), len(list(folder.glob("out/parts/*.json")))
        while child.poll() is None and len(list(folder.glob("out/parts/*.json"))) < begun + 5:
            time.sleep(0.02)
        try:
            child.wait(drawn.uniform(0, 2))
            break
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            killed += 1
    same = contents(folder / "whole") == contents(folder / "out")
    print(
        f"the same bytes after {killed} kills: {same}; {(folder / 'out/document' / source.name).stat().st_size:,} bytes"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "run":
        run(*sys.argv[2:4])
    else:
        with tempfile.TemporaryDirectory(prefix="scriptorium-bench-") as place:
            os.environ["SCRIPTORIUM_ARTIFACTS"] = f"{place}/artifacts"
            {"memory": memory, "chaos": chaos}[sys.argv[1]](Path(place))
