"""transcribe-archive: its speed against a bare loop over the same recordings, and what it comes to when all is killed.

    python -m tests.benchmarks.archive speed        1: as fast as the loop, with one worker and with two
    python -m tests.benchmarks.archive memory       the job's processes on 100 short files, 10,000, and one of 3 hours
    python -m tests.benchmarks.archive coverage     300 recordings of all formats and more that are broken: every frame
    python -m tests.benchmarks.archive chaos        workers, actors, the driver and the S3 server die at random moments

The network is that of the demo's recipe, untrained: it costs the same. MODEL=path of a bundle takes another.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import torch

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tasks")]

from s3_servers import BUCKET, KEY, SECRET, served
from untrained import bundle_of

from flows.recipes.asr_demo import deep_speech_2_demo
from flows.shared.archive_plan import plan_archive
from flows.shared.audio_files import EXTENSIONS
from infra import storage
from tasks.archives.output_store import OF_A_RUN
from tasks.archives.plan_work import plan_work
from tasks.archives.run_parts import ArchiveRun
from tasks.bundles.model_bundle import load_bundle
from tasks.steps.in_process import run_in_process
from tasks.transcription.transcribe_audio import Transcriber
from tests.benchmarks.archive_audio import mixed_archive, noise_archive
from tests.benchmarks.archive_check import check_output

FOLDER = tempfile.TemporaryDirectory(prefix="scriptorium-bench-")


def recordings(name: str, seconds: list[float]) -> Path:
    return noise_archive(Path(FOLDER.name, name), seconds)


def make_bundle() -> str:
    return os.environ.get("MODEL") or bundle_of(deep_speech_2_demo().model).uri


def run(source: Path, output: str, workers: int, *settings: str):
    """The summary, and the results where workers is 0: in this process."""
    plan, job, store = plan_archive(make_bundle(), output, ("parquet",), list(settings))
    store.open()
    work = plan_work(store, str(source), EXTENSIONS, plan.parts)
    work.freeze(store)
    archive, parts = ArchiveRun(job, store, max(1, workers)), list(work.parts.values())
    if workers:
        summary = archive(parts, 1.0)
    else:
        with run_in_process():
            summary = archive(parts, 1.0)
    store.finish()
    return summary


def results(output: str) -> dict[str, bytes]:
    names = [n for n in storage.list_files(output) if n not in OF_A_RUN and not n.startswith(".")]
    return {name: storage.read(storage.join(output, name)) for name in names}


def speed() -> None:
    source = recordings("speed", [5.0] * 480)
    transcriber = Transcriber(load_bundle(plan_archive(make_bundle(), f"{FOLDER.name}/x", (), [])[1].bundle))
    paths = sorted(map(str, source.iterdir()))
    list(transcriber.transcribe(paths[:2]))
    begun = time.monotonic()
    list(transcriber.transcribe(paths))
    loop = time.monotonic() - begun
    print(f"bare loop   {5 * len(paths) / loop:8.1f} s of sound a second")
    for workers in (1, 2):
        summary = run(source, f"{FOLDER.name}/speed-{workers}", workers, "parts.max_files=20")
        counted = summary.amount * (summary.parts - 1) / summary.parts  # what came after the first result
        rate = counted / (summary.seconds - summary.first_seconds)
        print(f"{workers} workers   {rate:8.1f}, {rate / (5 * len(paths) / loop):.2f} of the loop's")


def memory() -> None:
    for name, seconds in {"100 files": [1.0] * 100, "10,000 files": [1.0] * 10_000, "3 hours": [3 * 3600.0]}.items():
        source = recordings(name, seconds)
        largest, ended = [0.0], threading.Event()
        watching = threading.Thread(target=watch, args=(largest, ended))
        watching.start()
        summary = run(source, f"{FOLDER.name}/out {name}", 1)
        ended.set()
        watching.join()
        hours = summary.amount / 3600
        print(f"{name:<14}{largest[0] / 2**20:8.0f} MB, {summary.seconds / hours:8.1f} s an hour of sound")


def coverage() -> None:
    """The command on recordings of all kinds, some of each broken: all is accounted for, frame by frame."""
    source, output = Path(FOLDER.name, "mixed"), f"{FOLDER.name}/mixed-out"
    expected = mixed_archive(source, count=300, hours=3)
    command = [sys.executable, "-m", "flows.transcribe_archive", "--source", str(source), "--output", output]
    subprocess.run([*command, "--model", make_bundle(), "--workers", "2", "--set", "error_budget=1"], check=True)
    print("all is accounted for:", dict(check_output(output, expected)))


def watch(largest: list[float], ended: threading.Event) -> None:
    """The most memory (bytes, shared parts once) that this process and its Ray workers had at once."""
    me = psutil.Process()
    while not ended.wait(0.5):
        total = 0
        for process in (me, *me.children(recursive=True)):
            try:
                if process is me or process.cmdline()[0].startswith("ray::"):
                    total += process.memory_full_info().pss
            except (psutil.Error, IndexError):
                continue
        largest[0] = max(largest[0], total)


def chaos() -> None:
    """At most three restarts; from each on, the recordings of what is committed are gone."""
    source, drawn = recordings("chaos", [3.0 + k % 7 for k in range(300)]), random.Random(int(time.time()))
    settings = ("parts.max_files=6",)
    run(source, f"{FOLDER.name}/whole", 0, *settings)
    expected = results(f"{FOLDER.name}/whole")
    folder, program = Path(FOLDER.name, "s3"), str(Path(sys.executable).with_name("rclone"))
    (folder / BUCKET).mkdir(parents=True)
    how = ("--addr", "127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", "--vfs-cache-mode", "writes")
    with served(Path(FOLDER.name, "log"), program, "serve", "s3", *how, str(folder)) as url:
        os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
        output = f"s3://{BUCKET}/out"
        command = [sys.executable, "-m", "flows.transcribe_archive", "--source", str(source), "--output", output]
        command += ["--model", make_bundle(), "--workers", "2", "--set", *settings]
        for restart in itertools.count():
            child = subprocess.Popen(command)
            while child.poll() is None and restart < 3:
                time.sleep(drawn.uniform(3, 10))
                if storage.list_files(storage.join(output, "parts")) and disturb(child, url, drawn):
                    break
            if child.wait() == 0:
                break
            assert restart < 3, "it does not end"
            for note in storage.list_files(storage.join(output, "parts")):
                print("restart", restart + 1, "with", note, "committed")
        print("the same bytes:", results(output) == expected, "after", restart, "restarts")


def disturb(child: subprocess.Popen, url: str, drawn: random.Random) -> bool:
    """One of what can die; whether it was the driver."""
    port = url.rpartition(":")[2]
    every = psutil.Process(child.pid).children(recursive=True)
    workers = [p for p in every if (p.cmdline() or [""])[0].startswith("ray::")]
    servers = [p for p in psutil.process_iter() if "rclone" in p.name() and port in " ".join(p.cmdline())]
    what = drawn.choice(["worker", "worker", "driver", "server"])
    print("chaos:", what, flush=True)
    if what == "driver":
        child.kill()
    elif what == "server":
        for server in servers:
            server.send_signal(signal.SIGSTOP)
        time.sleep(20)
        for server in servers:
            server.send_signal(signal.SIGCONT)
    elif workers:
        drawn.choice(workers).kill()
    return what == "driver"


if __name__ == "__main__":
    os.environ |= {"SCRIPTORIUM_ARTIFACTS": f"{FOLDER.name}/artifacts", "SCRIPTORIUM_CORES": "2"}
    torch.set_num_threads(1)
    {"speed": speed, "memory": memory, "coverage": coverage, "chaos": chaos}[sys.argv[1]]()
