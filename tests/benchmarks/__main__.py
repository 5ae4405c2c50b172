"""Speed and memory as ratios against a named peer, both measured in this run: `make bench`.

Each ratio is the peer's time by ours (1: as fast as the peer), the best of some rounds; memory is the larger by the
smaller. Clips are those of SCRIPTORIUM_CORPORA/commonvoice_fa where that is set, else generated.
"""

import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import soundfile
import torch
import torchaudio

FOLDER = tempfile.TemporaryDirectory(prefix="scriptorium-bench-")
os.environ["SCRIPTORIUM_ARTIFACTS"] = f"{FOLDER.name}/artifacts"
PROCESSES = 2
os.environ["SCRIPTORIUM_CORES"] = str(PROCESSES)

from flows.recipes import asr  # noqa: E402
from infra.store import Artifact, open_draft  # noqa: E402
from models.interface import Beam  # noqa: E402
from tasks.batches import Utterances, ahead  # noqa: E402
from tasks.corpus import Corpus, Ingest, fingerprint  # noqa: E402
from tasks.decode import Decoding, ShardDecoder, decode, transcribe  # noqa: E402
from tasks.features import FLOOR, FrontEnd, extract  # noqa: E402
from tasks.featurize import featurize, featurize_shard, index_of  # noqa: E402
from tasks.ingest_corpus import ingest  # noqa: E402
from tasks.parallel import run_jobs  # noqa: E402
from tasks.plan import plan  # noqa: E402
from tasks.tokenizer import Tokens, fit_tokenizer  # noqa: E402
from tasks.train import Workers, prepare, train  # noqa: E402

ROUNDS = 3
FRONT_END = FrontEnd(mels=40)


def main() -> None:
    torch.set_num_threads(1)
    corpus = clips()
    shards, row = bench_ingest(corpus)
    show("ingest", "soundfile in as many processes", row, 0.7)
    tokenizer = fit_tokenizer.fn(shards, Tokens())
    show("features", "torchaudio in a loop", bench_features(shards, tokenizer), 0.8)
    features = featurize.fn(shards, tokenizer, FRONT_END, 1.0)
    show("training epoch", "the same batches in memory", bench_training(features, tokenizer), 0.9)
    show("decoding on Ray Data", "the bare search loop", bench_decoding(features, tokenizer), 0.8)
    small, large = bench_memory(corpus)
    print(f"{'ingest memory, 2,000 clips':<28}{'200 clips':<34}{large / small:>6.2f}   at most 1.20")


def show(what: str, peer: str, ratio: float, floor: float) -> None:
    print(f"{what:<28}{peer:<34}{ratio:>6.2f}   at least {floor:.2f}", flush=True)


def best(function: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds of the fastest of some rounds."""
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def clips() -> Corpus:
    real = Path(os.environ.get("SCRIPTORIUM_CORPORA", ""), "commonvoice_fa")
    if "SCRIPTORIUM_CORPORA" in os.environ and real.is_dir():
        return Corpus(kind="commonvoice", uri=str(real.resolve()))
    folder, random = Path(FOLDER.name, "generated"), np.random.default_rng(0)
    (folder / "clips").mkdir(parents=True)
    lines = ["client_id\tpath\tsentence"]
    for i in range(2000):
        wave = np.convolve(random.standard_normal(16000 * 4), np.hanning(31), "same") * 0.02
        soundfile.write(folder / "clips" / f"{i}.flac", wave, 16000)
        lines.append(f"s{i % 20}\t{i}.flac\tone two {'three' * (i % 3)}")
    (folder / "train.tsv").write_text("\n".join(lines))
    return Corpus(kind="commonvoice", uri=str(folder))


def options(round_: int) -> Ingest:
    return Ingest(shard_mb=4, seed=round_, error_budget=1.0)  # another seed: nothing is found finished


def plain_decode(path: str) -> int:
    return len(soundfile.read(path, dtype="float32")[0])


def bench_ingest(corpus: Corpus) -> tuple[Artifact, float]:
    mark = fingerprint(corpus)
    made = [ingest.fn(corpus, mark, options(0), ("train", "dev"))]  # starts Ray and its workers
    seeds = iter(range(1, 100))
    ours = best(lambda: made.append(ingest.fn(corpus, mark, options(next(seeds)), ("train", "dev"))))
    used = {f"{corpus.uri}/{source}" for split in ("train", "dev") for source in sources(made[0], split)}
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.map(plain_decode, sorted(used)[:20])
        peer = best(lambda: pool.map(plain_decode, sorted(used), chunksize=16))
    return made[0], peer / ours


def sources(shards: Artifact, split: str) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(shards.file("index.parquet"), filters=[("split", "==", split)])["source"].to_pylist()


def bench_features(shards: Artifact, tokenizer: Artifact) -> float:
    """One shard in this process: reading, decoding and writing included, against decoding and torchaudio alone."""
    import json
    from dataclasses import asdict

    from tasks.audio import decode as decode_clip
    from tasks.shards import samples

    name = shards.names(".tar")[0]
    job = {"shard": name, "shards": shards.digest, "tokenizer": tokenizer.digest}
    job |= {"front_end": json.dumps(asdict(FRONT_END)), "out": open_draft("features").uri}
    rate = FRONT_END.sample_rate
    mel = torchaudio.transforms.MelSpectrogram(rate, 512, FRONT_END.window, FRONT_END.hop, n_mels=40, f_min=20.0)
    resamplers: dict[int, torch.nn.Module] = {}

    def peer() -> None:
        with torch.inference_mode():
            for sample in samples(shards.file(name)):
                wave, found = decode_clip(sample.data, sample.extension)
                resample = resamplers.setdefault(found, torchaudio.transforms.Resample(found, rate))
                (mel(resample(torch.from_numpy(wave))) + FLOOR).log()

    extract(np.zeros(1600, np.float32), rate, FRONT_END)
    peer()
    return best(peer) / best(lambda: featurize_shard(job))


def bench_training(features: Artifact, tokenizer: Artifact) -> float:
    recipe = asr.deep_speech_2_demo()
    work = replace(recipe.training, front_end=FRONT_END, fit=replace(recipe.fit, error_budget=1.0, epochs=4))
    job, _ = prepare(open_draft("training"), features, tokenizer, work)
    model = job.model.build(*job.sizes)
    optimiser = torch.optim.AdamW(model.parameters())
    chosen = plan(job.train.frames, job.train.shard_numbers, job.batching, 0, 1)[:40]
    held = [job.train.batch(rows, 3, model.reduction) for rows in chosen]

    def epoch(batches: object) -> None:
        for batch in batches:  # type: ignore[attr-defined]
            model(batch).mean().backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    epoch(held[:2])
    return best(lambda: epoch(held)) / best(lambda: epoch(ahead(job.train, chosen, 3, model.reduction)))


def bench_decoding(features: Artifact, tokenizer: Artifact) -> float:
    """One actor, from its first finished shard to its last, against the loop over the same shards in this process."""
    recipe = asr.deep_speech_2_demo()
    fit = replace(recipe.fit, epochs=1, error_budget=1.0)
    work = replace(recipe.training, front_end=FRONT_END, fit=fit, augment=replace(recipe.augment, from_epoch=9))
    bundle = train.fn(features, tokenizer, work, Workers(count=0))
    how = Decoding(beam=Beam(width=8), architecture="deep_speech_2", split="train", batching=recipe.batching)
    index = index_of(features, "train")
    names = sorted(set(index["shard"].to_pylist()))[:8]
    arguments = (bundle, features, how, open_draft("transcripts"))
    times = [time.perf_counter() for _ in run_jobs(ShardDecoder, [{"shard": n} for n in names], "decode", 1, arguments)]
    loop = ShardDecoder(*arguments)
    seconds = []
    for name in names:
        mask = [shard == name for shard in index["shard"].to_pylist()]
        utterances = Utterances(features, index.filter(mask), loop.bundle.normaliser, work.augment, 0)
        begun = time.perf_counter()
        transcribe(loop.bundle, utterances, how, torch.device("cpu"))
        seconds.append(time.perf_counter() - begun)
    assert decode.fn is not None
    return sum(seconds) / len(seconds) / ((times[-1] - times[0]) / (len(names) - 1))


def bench_memory(corpus: Corpus) -> tuple[float, float]:
    """Peak memory of ingest, all its processes, for 200 and for 2,000 clips."""
    found = []
    for count in (200, 2000):
        part = Path(FOLDER.name, f"part{count}")
        part.mkdir()
        (part / "clips").symlink_to(Path(corpus.uri, "clips"))
        lines = Path(corpus.uri, "train.tsv").read_text().splitlines()
        (part / "train.tsv").write_text("\n".join(lines[: count + 1]))
        found.append(peak_memory(Corpus(kind="commonvoice", uri=str(part))))
    return found[0], found[1]


def peak_memory(corpus: Corpus) -> float:
    """MB held by this process' descendants that ingest, sampled while it runs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=ingest_alone, args=(corpus,))
    process.start()
    peak, ended = 0.0, threading.Event()
    while process.is_alive() and not ended.is_set():
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        peak = max(peak, sum(map(own_memory, family)))
        time.sleep(0.1)
    process.join()
    if process.exitcode:
        sys.exit("the ingest of the memory benchmark failed")
    return peak


def own_memory(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def ingest_alone(corpus: Corpus) -> None:
    ingest.fn(corpus, fingerprint(corpus), options(0), ("train",))


if __name__ == "__main__":
    main()
