"""transcribe-archive: its speed against a bare loop over the same recordings, and what it comes to when all is killed.

    python -m tests.benchmarks.archive speed        1: as fast as the loop, with one worker and with two
    python -m tests.benchmarks.archive memory       the job's processes on 100 short files, 10,000, and one of 3 hours
    python -m tests.benchmarks.archive coverage     300 recordings of all formats and more that are broken: every frame
    python -m tests.benchmarks.archive cluster      two Ray nodes on this machine: the same bytes as in one process
    python -m tests.benchmarks.archive chaos        workers, actors, the driver and the S3 server die at random moments

The network is that of the demo's recipe, untrained: it costs the same. MODEL=path of a bundle takes another.
"""

import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tasks")]

from s3_servers import BUCKET, KEY, SECRET, served
from untrained import bundle_of

from flows.recipes.asr_demo import deep_speech_2_demo
from flows.shared.archive_plan import plan_archive
from flows.shared.audio_files import EXTENSIONS
from infra import storage
from infra.ray_cluster import ENVIRONMENT, ON_THIS_MACHINE
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
    """By the clock, which counts where cores are idle, and by processor time, which counts on any machine."""
    source = recordings("speed", [5.0] * 2880)
    transcriber = Transcriber(load_bundle(plan_archive(make_bundle(), f"{FOLDER.name}/x", (), [])[1].bundle))
    paths = sorted(map(str, source.iterdir()))
    list(transcriber.transcribe(paths[:2]))
    clock, used = time.monotonic(), time.process_time()
    list(transcriber.transcribe(paths))
    loop = [5 * len(paths) / taken for taken in (time.monotonic() - clock, time.process_time() - used)]
    print(f"load {os.getloadavg()[0]:.1f}; bare loop {loop[0]:8.1f} s of sound a second, {loop[1]:8.1f} of a core's")
    for workers in (1, 2):
        output = f"{FOLDER.name}/speed-{workers}"
        with ProcessWatch(memory=False) as watch:
            run(source, output, workers, "parts.max_files=120")
        times = commit_times(output)
        sound = 5 * 120 * (len(times) - 1)  # what came after the first result
        clock, used = sound / (times[-1] - times[0]), sound / watch.used_between(times[0], times[-1])
        print(
            f"load {os.getloadavg()[0]:.1f}; {workers} workers {clock:8.1f}, {clock / loop[0]:.2f} of the loop's; "
            f"{used:8.1f} of a core's, {used / loop[1]:.2f}",
            flush=True,
        )


def commit_times(output: str) -> list[float]:
    return sorted(path.stat().st_mtime for path in Path(output, "parts").iterdir())


def memory() -> None:
    """And whether the last files take as long as the first: a part is of a hundred."""
    for name, seconds in {"100 files": [1.0] * 100, "10,000 files": [1.0] * 10_000, "3 hours": [3 * 3600.0]}.items():
        source, output = recordings(name, seconds), f"{FOLDER.name}/out {name}"
        with ProcessWatch(memory=True) as watch:
            run(source, output, 1, "parts.max_files=100")
        print(f"{name:<14}{watch.largest / 2**20:8.0f} MB, the driver {watch.largest_driver / 2**20:.0f}", flush=True)
        times = commit_times(output)
        if len(times) > 30:
            for what, some in {"first": times[:21], "last": times[-21:]}.items():
                clock, used = some[-1] - some[0], watch.used_between(some[0], some[-1])
                print(f"  the {what} 2,000: {1.8 * clock:.1f} s an hour of sound, {1.8 * used:.1f} of a core")


class ProcessWatch:
    """Of this process and all that it starts, Ray's own too: how much memory they had at once (bytes, shared pages
    once), and how much processor time they have used. memory: whether that is looked at, which itself takes time.
    """

    def __init__(self, *, memory: bool) -> None:
        self.memory = memory
        self.largest = self.largest_driver = 0.0
        self.used, self.by_process = list[tuple[float, float]](), dict[int, float]()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "ProcessWatch":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def used_between(self, begin: float, end: float) -> float:
        times, used = zip(*self.used, strict=True)
        before, after = np.interp([begin, end], times, used)
        return float(after - before)

    def _watch(self) -> None:
        me, own = psutil.Process(), 0.0
        while not self.ended.wait(0.3):
            total = 0.0
            for process in (me, *me.children(recursive=True)):
                try:
                    held = process.memory_full_info().pss if self.memory else 0
                    self.by_process[process.pid] = sum(process.cpu_times()[:2])
                except psutil.Error:  # it has ended meanwhile
                    continue
                total, own = total + held, held if process is me else own
            self.largest, self.largest_driver = max(self.largest, total), max(self.largest_driver, own)
            self.used.append((time.time(), sum(self.by_process.values())))


def coverage() -> None:
    """The command on recordings of all kinds, some of each broken: all is accounted for, frame by frame."""
    source, output = Path(FOLDER.name, "mixed"), f"{FOLDER.name}/mixed-out"
    expected = mixed_archive(source, count=300, hours=3)
    command = [sys.executable, "-m", "flows.transcribe_archive", "--source", str(source), "--output", output]
    subprocess.run([*command, "--model", make_bundle(), "--workers", "2", "--set", "error_budget=1"], check=True)
    print("all is accounted for:", dict(check_output(output, expected)))


def chaos() -> None:
    """At most three restarts. The recordings of what is committed are removed at once: who read them again would find
    none, and the bytes would differ.
    """
    source, seed = recordings("chaos", [3.0 + k % 7 for k in range(400)]), int(time.time())
    print("seed", seed, flush=True)
    drawn, settings = random.Random(seed), ("parts.max_files=10",)
    run(source, f"{FOLDER.name}/whole", 0, *settings)
    expected = results(f"{FOLDER.name}/whole")
    folder, program = Path(FOLDER.name, "s3"), str(Path(sys.executable).with_name("rclone"))
    (folder / BUCKET).mkdir(parents=True)
    how = ("--addr", "127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", "--vfs-cache-mode", "writes")
    with served(Path(FOLDER.name, "log"), program, "serve", "s3", *how, str(folder)) as url:
        os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
        output, notes = f"s3://{BUCKET}/out", folder / BUCKET / "out" / "parts"
        command = [sys.executable, "-m", "flows.transcribe_archive", "--source", str(source), "--output", output]
        command += ["--model", make_bundle(), "--workers", "2", "--set", *settings]
        disturbances, restarts = ["worker", "actor", "server", "driver"] * 3, 0
        drawn.shuffle(disturbances)
        while (status := disturbed(command, notes, source, disturbances, drawn, url.rpartition(":")[2])) != 0:
            restarts += 1
            print("status", status, "restart", restarts, flush=True)
            assert restarts <= 3, "it does not end"
        same = results(output) == expected
        removed = 400 - len(list(source.iterdir()))
        print(f"the same bytes: {same} after {restarts} restarts; {removed} recordings were gone after their commit")


def disturbed(
    command: list[str], notes: Path, source: Path, disturbances: list[str], drawn: random.Random, port: str
) -> int:
    """How a run of the command ended, to which one after the other happened at random moments."""
    child, begun = subprocess.Popen(command), set(notes.glob("*.json")) if notes.exists() else set()
    moment = float("inf")
    while child.poll() is None:
        time.sleep(0.1)
        committed = set(notes.glob("*.json")) if notes.exists() else set()
        remove_committed(committed, source)
        if moment == float("inf") and committed - begun:
            moment = time.monotonic() + drawn.uniform(0, 3)
        if disturbances and time.monotonic() > moment:
            disturb(child, disturbances.pop(), port)
            moment = time.monotonic() + drawn.uniform(1, 6)
    return child.wait()


def remove_committed(notes: set[Path], source: Path) -> None:
    """But of the first part: a folder without recordings is refused."""
    for number in {int(note.stem) for note in notes} - {0}:
        for k in range(10 * number, 10 * number + 10):
            (source / f"{k:05}.wav").unlink(missing_ok=True)


def disturb(child: subprocess.Popen, what: str, port: str) -> None:
    workers = dict[psutil.Process, str]()
    for process in psutil.Process(child.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            workers[process] = (process.cmdline() or [""])[0]
    if what == "driver":
        child.kill()
    elif what == "server":
        (server,) = (p for p in psutil.Process().children() if f"127.0.0.1:{port}" in p.cmdline())
        server.send_signal(signal.SIGSTOP)
        time.sleep(20)
        server.send_signal(signal.SIGCONT)
    else:
        actor = what == "actor"
        some = [p for p, name in workers.items() if name.startswith("ray::") and ("MapWorker" in name) == actor]
        what += f" ({workers[some[-1]]})" if some else ", but there is none"
        for process in some[-1:]:
            process.kill()
    print("killed:" if what != "server" else "stopped for 20 s:", what, flush=True)


def cluster() -> None:
    """A worker fits on each node; the decoders of both are counted, as the system lists processes."""
    source, output = recordings("cluster", [3.0 + k % 7 for k in range(300)]), f"{FOLDER.name}/on-two"
    run(source, f"{FOLDER.name}/on-one", 0, "parts.max_files=10")
    token = Path(FOLDER.name, "token")
    token.write_text(secrets.token_hex(32))
    os.environ |= ENVIRONMENT | ON_THIS_MACHINE | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    from ray.cluster_utils import Cluster  # it reads these as it is imported

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        nodes.add_node(num_cpus=1)
        os.environ["RAY_ADDRESS"] = nodes.address
        command = [sys.executable, "-m", "flows.transcribe_archive", "--source", str(source), "--output", output]
        command += ["--model", make_bundle(), "--workers", "2", "--set", "parts.max_files=10"]
        child, decoders = subprocess.Popen(command), dict[int, set[int]]()
        while child.poll() is None:
            time.sleep(0.2)
            for process in psutil.process_iter(["pid", "ppid", "cmdline"]):
                if (process.info["cmdline"] or [""])[0].startswith("ray::MapWorker"):
                    decoders.setdefault(process.info["ppid"], set()).add(process.info["pid"])
        same = child.wait() == 0 and results(output) == results(f"{FOLDER.name}/on-one")
        mine = {n.all_processes["raylet"][0].process.pid for n in nodes.list_all_nodes()}
        print(f"the same bytes: {same}; decoders of each node: {[len(decoders.get(pid, ())) for pid in mine]}")
    finally:
        nodes.shutdown()


if __name__ == "__main__":
    os.environ |= {"SCRIPTORIUM_ARTIFACTS": f"{FOLDER.name}/artifacts", "SCRIPTORIUM_CORES": "2"}
    torch.set_num_threads(1)
    {"speed": speed, "memory": memory, "coverage": coverage, "chaos": chaos, "cluster": cluster}[sys.argv[1]]()
