"""The readers: what each makes of its layout, of its oddities, and of a place that is something else."""

import io
import json
import struct
import subprocess
import sys
from collections import Counter
from functools import partial

import numpy as np
import pytest
import soundfile
from small_corpora import read, rows_of, tone, write_common_voice, write_table

from infra.errors import UserError
from tasks.corpora.corpus_uri import IngestConfig, corpus_kinds
from tasks.corpora.readers import an4, commonvoice, demo, fsdd, librispeech, manifest, yesno
from tasks.corpora.table_rows import unquote
from tasks.corpora.utterance import SPLITS, Reject, Utterance
from tasks.ingest.shard_format import read_shard


@pytest.fixture
def rows(artifact_root):
    """`rows(reader, place, splits, **options)`: what a reader says, without opening a clip."""
    return partial(read, "utterances")


def touch(root, *names, content=b"x"):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_reader_for_every_kind():
    assert set(corpus_kinds("utterances")) >= {"commonvoice", "librispeech", "manifest", "an4", "fsdd", "yesno", "demo"}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ('"He called it ""art""."', 'He called it "art".'),
        ('""""', '"'),
        ('"Hello."', '"Hello."'),
        ('"never closed', '"never closed'),
        ('never opened"', 'never opened"'),
        ('"one" and "two"', '"one" and "two"'),
        ('"a ""b" c"', '"a ""b" c"'),
        ('"', '"'),
        ("", ""),
    ],
)
def test_common_voice_quotes(field, text):
    assert unquote(field) == text


def test_common_voice_quote_that_never_closes_ends_with_its_row(tmp_path, rows):
    root = write_common_voice(tmp_path / "cv")
    table = rows_of(12)
    table[3]["sentence"] = '"An open quote'
    write_table(root / "train.tsv", table)
    assert [r.text for r in rows(commonvoice, root, ("train",))] == [row["sentence"] for row in table]


def test_common_voice_rows_that_do_not_fit_their_header(tmp_path, rows):
    root = write_common_voice(tmp_path / "cv")
    (root / "train.tsv").write_text(
        "client_id\tpath\tsentence\nx\tclip_0.wav\tok\nx\ty\tz\tw\nx\tclip_1.wav\n\nx\t\tz\n"
    )
    found = rows(commonvoice, root, ("train",))
    assert [type(r) for r in found] == [Utterance, Reject, Reject, Reject]
    assert [r.source for r in found[1:]] == ["train.tsv:3", "train.tsv:4", "train.tsv:6"]
    (root / "train.tsv").write_text("a,b,c\n1,2,3\n")
    with pytest.raises(UserError, match="train.tsv: no column path, sentence in its first line; it has a,b,c"):
        rows(commonvoice, root, ("train",))


def test_common_voice_own_splits_use_what_was_validated(tmp_path, rows):
    root = write_common_voice(tmp_path / "cv")
    assert Counter(r.split for r in rows(commonvoice, root)) == {"train": 12, "dev": 3, "test": 3}
    assert Counter(r.split for r in rows(commonvoice, root, own_splits=True)) == {"": 18}
    write_table(root / "validated.tsv", rows_of(7))
    assert Counter(r.split for r in rows(commonvoice, root, own_splits=True)) == {"": 7}
    for split in SPLITS:
        (root / f"{split}.tsv").unlink()
    assert Counter(r.split for r in rows(commonvoice, root)) == {"": 7}
    (root / "validated.tsv").unlink()
    with pytest.raises(UserError, match="is it Common Voice"):
        rows(commonvoice, root)


def test_common_voice_reads_all_languages_of_a_folder(tmp_path, rows):
    for language in ("en", "fr"):
        write_common_voice(tmp_path / "both" / language)
    found = rows(commonvoice, tmp_path / "both", ("dev",))
    assert [r.clips[0].split("/")[0] for r in found] == ["en"] * 3 + ["fr"] * 3


def test_librispeech(tmp_path, rows):
    for part, speaker in (("train-clean-5", 19), ("dev-clean-2", 84), ("test-other", 7)):
        folder = tmp_path / "LibriSpeech" / part / f"{speaker}" / "198"
        write(folder / f"{speaker}-198.trans.txt", f"{speaker}-198-0000 NORTHANGER ABBEY\n{speaker}-198-0001 TWO\n")
        touch(folder, f"{speaker}-198-0000.flac", f"{speaker}-198-0001.flac")
    found = rows(librispeech, tmp_path)
    assert Counter(r.split for r in found) == {"train": 2, "dev": 2, "test": 2}
    first = next(r for r in found if r.split == "train")
    assert first.clips == ("LibriSpeech/train-clean-5/19/198/19-198-0000.flac",)
    assert (first.text, first.speaker) == ("NORTHANGER ABBEY", "19")
    assert {r.split for r in rows(librispeech, tmp_path, own_splits=True)} == {""}
    assert {r.split for r in rows(librispeech, tmp_path / "LibriSpeech" / "dev-clean-2", ("dev",))} == {"dev"}


def test_manifest_json_lines(tmp_path, rows):
    lines = [
        {"audio_filepath": "wavs/a.wav", "text": "one", "duration": 1.0, "speaker": "s", "room": 3},
        {"audio_filepath": str(tmp_path / "m" / "b.wav"), "text": "two"},
        {"audio_filepath": "long.wav", "text": "three", "offset": 2.5, "duration": 1.5},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\nnot json\n[1]\n" + '{"text": "no clip"}\n'
    write(tmp_path / "m" / "train.jsonl", text + '{"audio_filepath": "x", "offset": "a", "duration": 1}\n')
    write(tmp_path / "m" / "test_manifest.json", json.dumps(lines[0]))
    touch(tmp_path / "m", "wavs/a.wav", "b.wav", "long.wav")
    found = rows(manifest, tmp_path / "m")
    assert [r.split for r in found] == ["test"] + ["train"] * 7
    good = [r for r in found if isinstance(r, Utterance) and r.split == "train"]
    assert [r.text for r in good] == ["one", "two", "three"]
    assert (good[0].speaker, good[0].tags, good[0].span) == ("s", {"room": "3"}, None)
    assert good[2].span == (2.5, 1.5)
    assert {r.reason for r in found if isinstance(r, Reject)} == {"malformed row"}


def test_manifest_table_with_a_split_column(tmp_path, rows):
    text = (
        'audio,text,split,speaker\na.wav,"one, two",train,s\nb.wav,b,validation,t\nc.wav,c,test,u\nd.wav,d,train,v,w\n'
    )
    write(tmp_path / "m" / "all.csv", text)
    for place in (tmp_path / "m", tmp_path / "m" / "all.csv"):
        found = rows(manifest, place)
        assert [(r.split, r.source) for r in found] == [
            ("test", "c.wav"),
            ("dev", "b.wav"),
            ("train", "a.wav"),
            ("train", "all.csv:5"),
        ]
    assert found[2].text == "one, two"
    write(tmp_path / "m" / "all.csv", 'audio,text\na.wav,"never closed\nb.wav,b\n')
    with pytest.raises(UserError, match="all.csv, near line"):
        rows(manifest, tmp_path / "m")


def test_manifest_pieces_of_a_recording(tmp_path, ingested):
    whole = np.concatenate([tone(i, 1.0) for i in range(4)])
    (tmp_path / "m").mkdir()
    soundfile.write(tmp_path / "m" / "long.wav", whole, 8000, "PCM_16")
    lines = [{"audio_filepath": "long.wav", "text": f"t {i}", "offset": i, "duration": 1.0} for i in range(4)]
    lines.append({"audio_filepath": "long.wav", "text": "beyond", "offset": 3.5, "duration": 1.0})
    write(tmp_path / "m" / "train.jsonl", "\n".join(map(json.dumps, lines)))
    shards = ingested(f"manifest:{tmp_path}/m", error_budget=1.0)
    found = sorted((s for n in shards.names(".tar") for s in read_shard(shards.file(n))), key=lambda s: s.text)
    assert [s.text for s in found] == [f"t {i}" for i in range(4)]
    for i, sample in enumerate(found):
        wave, _ = soundfile.read(io.BytesIO(sample.data), dtype="float32")
        np.testing.assert_allclose(wave, tone(i, 1.0), atol=1e-4)


def write_an4(root, lists, folder="feat", extension=".mfc"):
    """lists: name to fileids; the transcription is that of the last part, upper case."""
    for name, ids in lists.items():
        write(root / "etc" / f"{name}.fileids", "".join(f"{i}\n" for i in ids))
        texts = [
            f"<s> {i.split('/')[-1].split('-')[0].upper()} ++NOISE++ THE(2) </s> ({i.split('/')[-1]})\n" for i in ids
        ]
        write(root / "etc" / f"{name}.transcription", "".join(reversed(texts)))
        frames = np.zeros((30, 13), ">f4").tobytes()
        touch(root, *(f"{folder}/{i}{extension}" for i in ids), content=struct.pack(">i", 390) + frames)


def test_an4_lists(tmp_path, rows):
    train, dev = [f"an4_clstk/fa/an{i}-fa-b" for i in range(4)], ["an4_clstk/fb/cen1-fb-b"]
    test = ["an4test_clstk/fcaw/an406-fcaw-b", "an4test_clstk/fcaw/an407-fcaw-b"]
    write_an4(tmp_path / "a", {"an4_train": train + dev, "train_nodev": train, "train_dev": dev, "an4_test": test})
    found = rows(an4, tmp_path / "a")
    assert Counter(r.split for r in found) == {"test": 2, "dev": 1, "train": 4}
    assert found[0][:4] == ("test", (f"feat/{test[0]}.mfc",), "AN406 THE", "fcaw")
    write_an4(tmp_path / "b", {"an4_train": train + dev, "an4_test": test})
    assert Counter(r.split for r in rows(an4, tmp_path / "b")) == {"test": 2, "train": 5}
    with pytest.raises(UserError, match="is it AN4"):
        rows(an4, tmp_path / "b" / "feat")


@pytest.mark.parametrize("name", ["an4_test", "test"])
@pytest.mark.parametrize(("folder", "extension"), [("feat", ".mfc"), ("wav", ".wav"), ("wav", ".sph"), ("wav", ".raw")])
def test_an4_folder_with_a_test_split_alone(name, folder, extension, tmp_path, ingested, rows):
    write_an4(tmp_path, {name: ["an4test_clstk/fcaw/an406-fcaw-b"]}, folder, extension)
    assert rows(an4, tmp_path, ("test",))[0].clips == (f"{folder}/an4test_clstk/fcaw/an406-fcaw-b{extension}",)
    with pytest.raises(UserError, match="no train or dev or test split; it has test"):
        ingested(f"an4:{tmp_path}")
    if extension == ".mfc":
        shards = ingested(f"an4:{tmp_path}", splits=("test",))
        assert shards.read_json("summary.json")["splits"]["test"]["seconds"] == 0.3


def write_fsdd(root, speakers=("ann", "bob", "theo"), indices=8):
    for speaker in speakers:
        touch(root, *(f"recordings/{d}_{speaker}_{i}.wav" for d in range(10) for i in range(indices)))


def test_fsdd_speakers_and_recordings_are_kept_apart(tmp_path, rows):
    write_fsdd(tmp_path)
    found = rows(fsdd, tmp_path, strings=100, digits=4)
    assert found == rows(fsdd, tmp_path, strings=100, digits=4)
    assert found != rows(fsdd, tmp_path, strings=100, digits=4, seed=1)
    used = {s: Counter(c for r in found if r.split == s for c in r.clips) for s in SPLITS}
    assert {r.speaker for r in found if r.split == "test"} == {"theo"}
    assert {r.speaker for r in found if r.split != "test"} == {"ann", "bob"}
    assert set(used["test"].values()) == {1}
    assert len(used["test"]) == 80
    assert not used["train"].keys() & used["dev"].keys()
    assert {int(c.split("_")[-1].split(".")[0]) for c in used["dev"]} == {0, 1, 2, 3, 4}
    assert sum(r.split == "train" for r in found) == 100
    for row in found:
        assert 1 <= len(row.clips) <= 4
        digits = [int(c.split("/")[-1][0]) for c in row.clips]
        assert row.text == " ".join(fsdd.WORDS[d] for d in digits)
    assert len({r.source for r in found}) == len(found)


def test_fsdd_options_that_cannot_be_honored(tmp_path, rows):
    write_fsdd(tmp_path)
    with pytest.raises(UserError, match="ann, bob, theo"):
        rows(fsdd, tmp_path, test_speaker="nobody")
    with pytest.raises(UserError, match="own_splits"):
        rows(fsdd, tmp_path, own_splits=True)
    touch(tmp_path / "nothing", "readme.txt")
    with pytest.raises(UserError, match="no recordings"):
        rows(fsdd, tmp_path / "nothing")
    write_fsdd(tmp_path / "one", ["zoe"])
    assert {(r.split, r.speaker) for r in rows(fsdd, tmp_path / "one", ("test",))} == {("test", "zoe")}


def test_yesno(tmp_path, rows):
    touch(tmp_path, "waves/1_0_0_1.wav", "waves/README.wav", "waves/0_2_1.wav")
    assert rows(yesno, tmp_path) == [
        Utterance("", ("waves/1_0_0_1.wav",), "YES NO NO YES", "yesno", speaker_from="one speaker")
    ]


def test_demo_sentences_and_voices_are_kept_apart():
    sentences = demo.sentences(0)
    assert {split: len(texts) for split, texts in sentences.items()} == demo.SIZES
    every = [text for texts in sentences.values() for text in texts]
    assert len(set(every)) == len(every)
    train = {word for text in sentences["train"] for word in text.split()}
    assert {word for text in every for word in text.split()} == train
    voices = [voice.name for split in demo.VOICES.values() for voice in split]
    assert len(set(voices)) == len(voices)
    assert len(voices) >= 8


def test_every_voice_says_the_same_every_time():
    pytest.importorskip("espeakng_loader")
    script = """
import hashlib
from tasks.corpora.readers.demo import VOICES, Espeak
espeak = Espeak()
said = [espeak.say("open the red door", voice) for voices in VOICES.values() for voice in voices]
assert min(map(len, said)) > espeak.sample_rate // 2
print(*(hashlib.sha256(wave.tobytes()).hexdigest() for wave in said))
"""
    command = [sys.executable, "-c", script]
    said = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(2)]
    assert said[0] == said[1]
    assert len(set(said[0])) == sum(map(len, demo.VOICES.values()))


def test_demo_without_its_voices_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r"pip install 'scriptorium\[demo\]'"):
        demo.generate(tmp_path / "demo", IngestConfig())
