"""The pipeline's steps: each ratio is the peer's time by ours (1: as fast as the peer), the best of some rounds; memory
is the larger by the smaller. Clips are those of SCRIPTORIUM_CORPORA/commonvoice_fa where that is set, else generated.
"""

import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import soundfile
import torch
import torchaudio

from flows.recipes import asr_demo
from infra.artifact_store import Artifact, open_draft
from models.interface import Batch, Beam
from tasks.audio.audio_io import decode_clip
from tasks.batches.batch_loader import UtteranceDataset, prefetch
from tasks.batches.batch_sampler import plan_batches
from tasks.corpora.corpus_uri import Corpus, IngestConfig, fingerprint
from tasks.decoding.decode_speech import TRANSCRIPTS, DecodingConfig, transcribe
from tasks.decoding.shard_inference import Inputs, ShardModel
from tasks.features.extract_features import extract_features, extract_shard_features
from tasks.features.front_end import FLOOR, FrontEnd, extract_frames
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.ingest.shard_format import read_shard
from tasks.ingest.shard_index import list_shards, read_index
from tasks.steps.parquet_parts import PartWriter
from tasks.steps.ray_jobs import run_jobs
from tasks.text.tokenizer import TokenizerConfig, fit_tokenizer
from tasks.training.run_training import Workers
from tasks.training.train_asr import prepare_asr, train_asr

FOLDER = tempfile.TemporaryDirectory(prefix="scriptorium-bench-")
PROCESSES = 2
TAB = "\t"
ROUNDS = 5
FRONT_END = FrontEnd(mels=40)


def pipeline() -> None:
    os.environ |= {
        "SCRIPTORIUM_ARTIFACTS": f"{FOLDER.name}/artifacts",
        "SCRIPTORIUM_CORES": str(PROCESSES),
        "RAY_worker_niceness": "0",  # as the peers have it: at Ray's 15, whatever else runs here comes first
    }
    torch.set_num_threads(1)
    corpus = clips()
    shards, few = bench_ingest(repeated(corpus, 2000), 9)  # two seconds each, so that more rounds cost nothing
    show("ingest, 2,000 clips", "soundfile in as many processes", few, 0.7)
    show("ingest, 8,000 clips", "soundfile in as many processes", bench_ingest(repeated(corpus, 8000))[1], 0.7)
    tokenizer = fit_tokenizer.fn(shards, TokenizerConfig())
    show("features", "torchaudio in a loop", bench_features(shards, tokenizer), 0.8)
    features = extract_features.fn(shards, tokenizer, FRONT_END, 1.0)
    show("training epoch", "the same batches in memory", bench_training(features, tokenizer), 0.9)
    show("decoding on Ray Data", "the bare search loop", bench_decoding(features, tokenizer), 0.8)
    small, large = bench_memory(corpus)
    print(f"{'ingest memory, 2,000 clips':<28}{'200 clips':<34}{large / small:>6.2f}   at most 1.20")


def show(what: str, peer: str, ratio: float, floor: float) -> None:
    print(f"{what:<28}{peer:<34}{ratio:>6.2f}   at least {floor:.2f}", flush=True)


def ratio(peer: Callable[[], object], ours: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The peer's time by ours, of the fastest of some rounds each, in turn: a machine is not always equally fast."""
    seconds: dict[Callable[[], object], list[float]] = {peer: [], ours: []}
    for _ in range(rounds):
        for function, measured in seconds.items():
            begun = time.perf_counter()
            function()
            measured.append(time.perf_counter() - begun)
    return min(seconds[peer]) / min(seconds[ours])


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


def options(round_: int) -> IngestConfig:
    """Shards of the default size, as a user has them."""
    return IngestConfig(seed=round_, error_budget=1.0)  # another seed: nothing is found finished


def plain_decode(path: str) -> int:
    return len(soundfile.read(path, dtype="float32")[0])


def bench_ingest(corpus: Corpus, rounds: int = ROUNDS) -> tuple[Artifact, float]:
    mark, seeds = fingerprint(corpus), iter(range(1, 100))
    shards = ingest_corpus.fn(corpus, mark, options(0), ("train", "dev"))  # starts Ray and its workers
    head, *lines = table_of(corpus)
    place = head.split(TAB).index("path")
    used = [f"{corpus.uri}/clips/{line.split(TAB)[place]}" for line in lines]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.map(plain_decode, used[:20])
        found = ratio(
            lambda: pool.map(plain_decode, used, chunksize=16),
            lambda: ingest_corpus.fn(corpus, mark, options(next(seeds)), ("train", "dev")),
            rounds,
        )
    return shards, found


def table_of(corpus: Corpus) -> list[str]:
    return Path(corpus.uri, "train.tsv").read_text().splitlines()


def repeated(corpus: Corpus, clips: int) -> Corpus:
    """So many clips of a corpus, beginning again where it ends, each in a file of its own name."""
    folder, source = Path(FOLDER.name, f"of{clips}"), Path(corpus.uri)
    head, *lines = table_of(corpus)
    place = head.split(TAB).index("path")
    (folder / "clips").mkdir(parents=True)
    rows = [head]
    for i in range(clips):
        fields = lines[i % len(lines)].split(TAB)
        round_ = f"{i // len(lines)}"
        if not (folder / "clips" / round_).exists():
            (folder / "clips" / round_).symlink_to(source / "clips")
        fields[place] = f"{round_}/{fields[place]}"
        rows.append(TAB.join(fields))
    (folder / "train.tsv").write_text("\n".join(rows))
    return Corpus(kind="commonvoice", uri=str(folder))


def bench_features(shards: Artifact, tokenizer: Artifact) -> float:
    """One shard in this process: reading, decoding and writing included, against decoding and torchaudio alone."""
    name = shards.names(".tar")[0]
    job = {"shard": name, "shards": shards.digest, "kind": tokenizer.kind, "tokenizer": tokenizer.digest}
    job |= {"front_end": json.dumps(asdict(FRONT_END)), "out": open_draft("features").uri}
    rate = FRONT_END.sample_rate
    mel = torchaudio.transforms.MelSpectrogram(rate, 512, FRONT_END.window, FRONT_END.hop, n_mels=40, f_min=20.0)
    resamplers: dict[int, torch.nn.Module] = {}

    def peer() -> None:
        with torch.inference_mode():
            for sample in read_shard(shards.file(name)):
                wave, found = decode_clip(sample.data, sample.extension)
                resample = resamplers.setdefault(found, torchaudio.transforms.Resample(found, rate))
                (mel(resample(torch.from_numpy(wave))) + FLOOR).log()

    extract_frames(np.zeros(1600, np.float32), rate, FRONT_END)
    peer()
    return ratio(peer, lambda: extract_shard_features(job), 5)


def bench_training(features: Artifact, tokenizer: Artifact) -> float:
    recipe = asr_demo.deep_speech_2_demo()
    work = replace(recipe.training, front_end=FRONT_END, fit=replace(recipe.fit, error_budget=1.0, epochs=4))
    job, _ = prepare_asr(open_draft("training"), features, tokenizer, work)
    model = job.model.build(*job.sizes)
    optimizer = torch.optim.AdamW(model.parameters())
    chosen = plan_batches(job.train.frames, job.train.shard_numbers, job.batching, 0, 1)[:40]
    held = [job.train.batch(rows, 3, model.reduction) for rows in chosen]

    def epoch(batches: Iterable[Batch]) -> None:
        for batch in batches:
            model(batch).mean().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    epoch(held[:2])
    return ratio(lambda: epoch(held), lambda: epoch(prefetch(job.train, chosen, 3, model.reduction)), 5)


def bench_decoding(features: Artifact, tokenizer: Artifact) -> float:
    """One actor, from its first finished shard to its last, against the loop over the same shards in this process."""
    recipe = asr_demo.deep_speech_2_demo()
    fit = replace(recipe.fit, epochs=1, error_budget=1.0)
    work = replace(recipe.training, front_end=FRONT_END, fit=fit, augment=replace(recipe.augment, from_epoch=9))
    bundle = train_asr.fn(features, tokenizer, work, Workers(count=0))
    how = DecodingConfig(beam=Beam(width=8), architecture="deep_speech_2", split="train", batching=recipe.batching)
    names = list_shards(features, "train")[:8]
    out, make = open_draft("transcripts"), partial(transcribe, beam=how.beam)
    actor, jobs = partial(ShardModel, make, bundle, features, how), [{"shard": name} for name in names]
    times = [time.perf_counter() for _ in run_jobs(PartWriter, jobs, "decode", (actor, out, TRANSCRIPTS), 1)]
    loop = actor()
    seconds = []
    for name in names:
        utterances = UtteranceDataset(features, read_index(features, "train", name), loop.bundle.normalizer)
        begun = time.perf_counter()
        transcribe(loop.bundle, Inputs(utterances, how.batching), how.beam)
        seconds.append(time.perf_counter() - begun)
    return sum(seconds) / len(seconds) / ((times[-1] - times[0]) / (len(names) - 1))


def bench_memory(corpus: Corpus) -> tuple[float, float]:
    """Peak memory of ingest, all its processes, for 200 and for 2,000 clips."""
    found = [peak_memory(repeated(corpus, count)) for count in (200, 2001)]
    return found[0], found[1]


def peak_memory(corpus: Corpus) -> float:
    """MB held by this process' descendants that ingest, sampled while it runs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=ingest_alone, args=(corpus,))
    process.start()
    peak = 0.0
    while process.is_alive():
        peak = max(peak, family_memory(psutil.Process(process.pid)))
        time.sleep(0.1)
    process.join()
    if process.exitcode:
        sys.exit("the ingest of the memory benchmark failed")
    return peak


def family_memory(process: psutil.Process) -> float:
    """MB of a process and all below it; one that ends meanwhile counts nothing."""
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += member.memory_info().rss / 2**20
    return total


def ingest_alone(corpus: Corpus) -> None:
    ingest_corpus.fn(corpus, fingerprint(corpus), options(0), ("train",))
