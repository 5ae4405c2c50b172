"""Planted leaks are all found, each with its reason; where there are none, none is reported."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from scipy.signal import resample_poly
from small_corpora import COLUMNS, write_table

from infra.errors import UserError
from tasks.corpora.corpus_uri import IngestConfig, parse_corpus
from tasks.datasets.assemble_features import extract_version_features
from tasks.datasets.dataset_head import update_dataset
from tasks.datasets.exclude_leaks import LeakConfig, exclude_leaks, find_text_leaks
from tasks.datasets.release import find_release
from tasks.features.front_end import FrontEnd

FRONT_END = FrontEnd(sample_rate=8000, mels=8)
RATE = 16000


def babble(seed, seconds=1.6):
    """What speech is to a fingerprint: noise whose spectrum and loudness change, of which no two are alike."""
    random, parts = np.random.default_rng(seed), []
    for _ in range(round(seconds / 0.08)):
        time = np.arange(round(0.16 * RATE)) / RATE
        voice = sum(
            random.uniform(0.2, 1) * np.sin(2 * np.pi * hertz * time + random.uniform(0, 6))
            for hertz in random.uniform(150, 3200, 12)
        )
        parts.append(voice * np.hanning(len(time)) * random.uniform(0.3, 1))
    whole, hop = np.zeros(round(0.08 * RATE) * (len(parts) + 1)), round(0.08 * RATE)
    for i, part in enumerate(parts):
        whole[i * hop : i * hop + len(part)] += part
    return (0.5 * whole / np.abs(whole).max()).astype(np.float32)


def as_mp3(wave, rate=RATE, level=0.9):
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="MP3", compression_level=level)
    return file.getvalue()


def as_opus(wave):
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="OGG", subtype="OPUS")
    return file.getvalue()


def write_wav(path, wave, rate=RATE):
    soundfile.write(path, wave, rate)


CHANGED = {
    "bitrate.mp3": lambda wave: as_mp3(wave),
    "rate.wav": lambda wave: (resample_poly(wave, 1, 2), RATE // 2),
    "odd_rate.wav": lambda wave: (resample_poly(wave, 441, 320), 22050),
    "gain.wav": lambda wave: (0.2 * wave, RATE),
    "cut.wav": lambda wave: (wave[round(0.2 * RATE) :], RATE),
    "cut_end.wav": lambda wave: (wave[: -round(0.2 * RATE)], RATE),
    "cut_between_samples.ogg": lambda wave: as_opus(wave[1661:-1500]),
    "all.mp3": lambda wave: as_mp3(0.5 * resample_poly(wave[round(0.193 * RATE) :], 1, 2), RATE // 2),
}


@pytest.fixture
def corpus(tmp_path):
    """`corpus(planted rows)`: 20 clean training rows, 8 of test; clips by name."""

    def make(planted, name="cv", first_seed=0):
        root = tmp_path / name
        (root / "clips").mkdir(parents=True)
        rows = [
            {"client_id": f"s{i % 4}", "path": f"clean{i}.wav", "sentence": f"clean number {i}", "split": "train"}
            for i in range(20)
        ]
        rows += [
            {"client_id": f"t{i % 2}", "path": f"test{i}.wav", "sentence": f"Test, number {i}.", "split": "test"}
            for i in range(8)
        ]
        rows.append({"client_id": "d", "path": "dev0.wav", "sentence": "of dev", "split": "dev"})
        for seed, row in enumerate(rows, first_seed):
            write_wav(root / "clips" / row["path"], babble(seed))
        for row in planted:
            if isinstance(content := row["content"], bytes):
                (root / "clips" / row["path"]).write_bytes(content)
            else:
                write_wav(root / "clips" / row["path"], *content)
        for split in ("train", "dev", "test"):
            write_table(root / f"{split}.tsv", [r for r in [*rows, *planted] if r["split"] == split], COLUMNS)
        place = f"commonvoice:{root}"
        return update_dataset(name, find_release(parse_corpus(place)), IngestConfig()).version

    return make


def planted_rows():
    """The seed of clip test<i> is 20 + i."""
    rows = [
        {"client_id": f"p{i}", "path": name, "sentence": f"planted number {i}", "content": change(babble(20 + i))}
        for i, (name, change) in enumerate(CHANGED.items())
    ]
    rows.append({"client_id": "p8", "path": "sentence.wav", "sentence": "test number 3", "content": (babble(90), RATE)})
    rows.append({"client_id": "t1", "path": "speaker.wav", "sentence": "other words", "content": (babble(91), RATE)})
    return [row | {"split": "train"} for row in rows]


def leaks_of(training, measured, frames, **config):
    made = exclude_leaks.fn(training, measured, frames, LeakConfig(**config))
    rows = pq.read_table(made.file("leaks.parquet")).to_pylist()
    return made, {row["source"].removeprefix("clips/"): (row["reason"], row["counterpart"]) for row in rows}


def test_planted_leaks_are_all_found_and_nothing_else(corpus, in_this_process):
    version = corpus(planted_rows())
    frames = extract_version_features(version, FRONT_END)
    made, found = leaks_of((version,), version, frames, budget=0.5)
    expected = {name: ("same sound", f"clips/test{i}.wav") for i, name in enumerate(CHANGED)}
    expected |= {"sentence.wav": ("same sentence", "clips/test3.wav")}
    expected |= {"speaker.wav": ("same speaker", "clips/test1.wav")}
    assert found == expected
    index = pq.read_table(made.file("index.parquet")).to_pylist()
    assert {r["source"] for r in index if r["split"] == "train"} == {f"clips/clean{i}.wav" for i in range(20)}
    assert sum(r["split"] == "test" for r in index) == 8
    with pytest.raises(UserError, match=r"10 of 30 training rows leak .* the budget is 20%"):
        leaks_of((version,), version, frames)


def test_another_corpus_of_the_mix_is_held_to_the_same_test_set(corpus, in_this_process):
    measured = corpus([])
    same = {"client_id": "x", "path": "same.wav", "sentence": "a text", "split": "train", "content": (babble(20), RATE)}
    other = corpus([same], "other", 1000)
    frames = tuple({one for v in (measured, other) for one in extract_version_features(v, FRONT_END)})
    made, found = leaks_of((measured, other), measured, frames)
    assert found == {"same.wav": ("same recording", "clips/test0.wav")}
    keys = pq.read_table(made.file("index.parquet"))["key"].to_pylist()
    assert len(keys) == len(set(keys)) == 20 + 20 + 9


def test_lines_of_a_text_that_the_test_set_says(corpus, in_this_process):
    measured = corpus([])
    lines = ["something else", "TEST number 5!", "", "of  dev"]
    assert dict(find_text_leaks(lines, measured)) == {1: "clips/test5.wav", 3: "clips/dev0.wav"}
