"""Bundles that are broken, foreign or malicious: each one line that names the file, nothing run, nothing written."""

import hashlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from untrained import CTC, LETTERS, bundle_of

from flows import align, generate, listen
from flows.evaluate import evaluate_model
from infra.artifacts.manifest import hash_files
from infra.errors import UserError
from tasks.bundles.model_bundle import check_golden_outputs, import_model, load_bundle
from tasks.bundles.training_checkpoints import from_bytes, to_bytes

DEEP = b"[" * 100_000 + b"]" * 100_000


class Payload:
    def __reduce__(self):
        return exec, ("import os; os.mkdir('run-by-payload')",)


@pytest.fixture(scope="module")
def sound_bundle(tmp_path_factory):
    """The folder of a good bundle outside any store."""
    place = tmp_path_factory.mktemp("foreign")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SCRIPTORIUM_ARTIFACTS", str(place / "made"))
        artifact = bundle_of(CTC)
        Path(artifact.uri).rename(place / "model")
    return place / "model"


@pytest.fixture
def model(sound_bundle, tmp_path, artifact_root, monkeypatch):
    """A copy to break, where the working folder is one of its own."""
    place = tmp_path / "model"
    place.mkdir()
    for path in sound_bundle.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    return place


def manifest_of(place, extra=None):
    files = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.is_file() and name != "manifest.json":
            data = path.read_bytes()
            files[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    files |= extra or {}
    return {"kind": "bundle", "digest": hash_files(files), "files": files}


def sealed(place, extra=None, **told):
    """With a manifest that fits what is there: what an attacker would write."""
    (place / "manifest.json").write_text(json.dumps(manifest_of(place, extra) | told))


def changed(name, **changes):
    def change(place):
        told = json.loads((place / name).read_text())
        (place / name).write_text(json.dumps(told | changes))

    return change


def options(**changes):
    def change(place):
        told = json.loads((place / "model.json").read_text())
        (place / "model.json").write_text(json.dumps(told | {"options": told["options"] | changes}))

    return change


def front_end(**changes):
    def change(place):
        told = json.loads((place / "features.json").read_text())
        (place / "features.json").write_text(json.dumps(told | {"front_end": told["front_end"] | changes}))

    return change


def content(name, data):
    return lambda place: (place / name).write_bytes(data)


def weights(change):
    def write(place):
        held = from_bytes((place / "weights.pt").read_bytes())
        (place / "weights.pt").write_bytes(to_bytes(change(held)))

    return write


def first(held):
    return next(name for name in held if held[name].is_floating_point())


def compressed(place):
    """Weights of which 1 GB fits in 1 MB: a zip within PyTorch's own format."""
    data, out = (place / "weights.pt").read_bytes(), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for item in source.infolist():
            target.writestr(item.filename, source.read(item) + bytes(10_000_000))
    (place / "weights.pt").write_bytes(out.getvalue())


def bomb_of_arrays(place):
    out = io.BytesIO()
    np.savez_compressed(out, a=np.zeros(10_000_000, np.float16))
    (place / "golden.npz").write_bytes(out.getvalue())


def words(**told):
    return lambda place: (place / "words.json").write_text(json.dumps(told))


def ngram(place):
    (place / "lm").mkdir()
    header = json.dumps({"counts": [1], "sections": {"keys-1": ["|O", 0, 9]}, "size": 10**9}).encode()
    (place / "lm" / "ngram.bin").write_bytes(b"SCRNGRAM" + header)


CHARACTERS = {"kind": "characters", "text": {}, "symbols": LETTERS}
# What is done to a bundle whose manifest fits, and the file that is to be named.
BROKEN = {
    "pickle for weights": (weights(lambda _: Payload()), "weights.pt"),
    "pickle among weights": (weights(lambda held: held | {"more": Payload()}), "weights.pt"),
    "weights cut off": (lambda p: content("weights.pt", (p / "weights.pt").read_bytes()[:-300])(p), "weights.pt"),
    "no weights": (content("weights.pt", b""), "weights.pt"),
    "garbage for weights": (content("weights.pt", os.urandom(5000)), "weights.pt"),
    "weights that grow": (compressed, "weights.pt"),
    "a list for weights": (weights(lambda held: list(held.values())), "weights.pt"),
    "NaN in weights": (weights(lambda held: held | {first(held): held[first(held)] * float("nan")}), "weights.pt"),
    "infinite weights": (weights(lambda held: held | {first(held): held[first(held)] / 0}), "weights.pt"),
    "complex weights": (weights(lambda held: held | {first(held): held[first(held)].to(torch.cfloat)}), "weights.pt"),
    "sparse weights": (weights(lambda held: held | {first(held): held[first(held)].to_sparse()}), "weights.pt"),
    "numbers for weights": (weights(lambda held: dict.fromkeys(held, 1.0)), "weights.pt"),
    "a weight too few": (weights(lambda held: dict(list(held.items())[1:])), "weights.pt"),
    "a weight too many": (weights(lambda held: held | {"more": torch.zeros(3)}), "weights.pt"),
    "weights expanded": (weights(lambda held: held | {first(held): torch.zeros(1).expand(10**6, 10**6)}), "weights.pt"),
    "the module os": (changed("model.json", architecture="os"), "model.json"),
    "a module above": (changed("model.json", architecture="../x"), "model.json"),
    "a module below": (changed("model.json", architecture="layers.rnn_layer"), "model.json"),
    "a module that is no architecture": (changed("model.json", architecture="interface"), "model.json"),
    "a number for an architecture": (changed("model.json", architecture=7), "model.json"),
    "a name with NUL": (changed("model.json", architecture="deep_speech_2\0"), "model.json"),
    "a billion units": (options(hidden_size=10**9), "weights.pt"),
    "a billion layers": (options(layers=10**9), "model.json"),
    "10^30 units": (options(hidden_size=10**30), "weights.pt"),
    "units as text": (options(hidden_size="16"), "weights.pt"),
    "no layers": (options(layers=-1), "model.json"),
    "an option unheard of": (options(__class__="os"), "weights.pt"),
    "options as a list": (changed("model.json", options=[]), "model.json"),
    "a billion tokens": (changed("model.json", target_size=10**9), "tokenizer.json"),
    "a billion coefficients": (changed("model.json", source_size=10**9), "features.json"),
    "tokens as text": (changed("model.json", target_size="13"), "model.json"),
    "model.json a list": (content("model.json", b"[]"), "model.json"),
    "model.json null": (content("model.json", b"null"), "model.json"),
    "model.json empty": (content("model.json", b""), "model.json"),
    "model.json not UTF-8": (content("model.json", b'{"a": "\xff\xfe"}'), "model.json"),
    "model.json too deep": (content("model.json", DEEP), "model.json"),
    "model.json with a name twice": (content("model.json", b'{"options": {}, "options": {}}'), "model.json"),
    "a number of a million digits": (content("model.json", b'{"target_size": 1' + b"0" * 10**6 + b"}"), "model.json"),
    "tokenizer a list": (content("tokenizer.json", b"[]"), "tokenizer.json"),
    "tokenizer of no kind": (changed("tokenizer.json", kind="runes"), "tokenizer.json"),
    "symbols as text": (changed("tokenizer.json", symbols="abc"), "tokenizer.json"),
    "symbols that are numbers": (changed("tokenizer.json", symbols=[1, 2]), "tokenizer.json"),
    "symbols twice": (changed("tokenizer.json", symbols=["a", "a"]), "tokenizer.json"),
    "rules unheard of": (changed("tokenizer.json", text={"evil": 1}), "tokenizer.json"),
    "rules of another type": (changed("tokenizer.json", text={"replace": 5}), "tokenizer.json"),
    "pieces that are not there": (changed("tokenizer.json", kind="bpe"), "tokenizer.model"),
    "garbage for pieces": (
        lambda p: (changed("tokenizer.json", kind="bpe")(p), content("tokenizer.model", os.urandom(999))(p)),
        "tokenizer.model",
    ),
    "nothing for pieces": (
        lambda p: (changed("tokenizer.json", kind="bpe")(p), content("tokenizer.model", b"")(p)),
        "tokenizer.model",
    ),
    "features a list": (content("features.json", b"[1]"), "features.json"),
    "a window of hours": (front_end(window_ms=1e9), "features.json"),
    "a rate beyond numbers": (front_end(sample_rate=10**300), "features.json"),
    "a rate as text": (front_end(sample_rate="16000"), "features.json"),
    "a rate that is none": (front_end(sample_rate=float("nan")), "features.json"),
    "a billion bands": (front_end(mels=10**9), "features.json"),
    "a front end of no kind": (front_end(kind="os"), "features.json"),
    "no normalizer": (changed("features.json", normalizer=None), "features.json"),
    "a normalizer too short": (
        changed("features.json", normalizer={"kind": "corpus", "mean": [0.0], "deviation": [1.0]}),
        "features.json",
    ),
    "a deviation of zero": (
        changed("features.json", normalizer={"kind": "corpus", "mean": [0.0] * 20, "deviation": [0.0] * 20}),
        "features.json",
    ),
    "a beam as text": (changed("decode.json", width="8"), "decode.json"),
    "a billion hypotheses": (changed("decode.json", width=10**9), "decode.json"),
    "a beam of more": (changed("decode.json", evil=1), "decode.json"),
    "a beam that is none": (changed("decode.json", lm_weight=float("inf")), "decode.json"),
    "words as text": (words(lexicon="abc"), "words.json"),
    "words of more": (words(evil=["a"]), "words.json"),
    "words that are numbers": (words(hotwords=[1]), "words.json"),
    "words nobody can spell": (words(lexicon=["xyz"]), "words.json"),
    "an n-gram model that is none": (ngram, "ngram.bin"),
    "a language model of os": (
        lambda p: ((p / "lm").mkdir(), content("lm/model.json", b'{"architecture": "os", "options": {}}')(p)),
        "lm/model.json",
    ),
    "golden arrays that grow": (bomb_of_arrays, "golden.npz"),
    "golden arrays that are pickles": (content("golden.npz", to_bytes({"a": 1})), "golden.npz"),
    "garbage for golden arrays": (content("golden.npz", os.urandom(300)), "golden.npz"),
    "golden texts a list": (content("golden.json", b"[]"), "golden.json"),
    "golden texts of nothing": (content("golden.json", b'{"a": {"text": 1}}'), "golden.json"),
    "training a list": (content("training.json", b"[]"), "training.json"),
    "an adaptation as text": (changed("training.json", adapt={"speakers": "yes"}), "training.json"),
}


def tree(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refused(act, tmp_path, named):
    """Raises, in one line that names the file; nothing was written but in the store, nothing was run."""
    before = {name for name in tree(tmp_path) if not name.startswith("artifacts")}
    with pytest.raises(UserError) as caught:
        act()
    line = str(caught.value)
    assert named in line
    assert "\n" not in line
    assert len(line) < 1000
    assert {name for name in tree(tmp_path) if not name.startswith("artifacts")} == before
    assert not (tmp_path / "artifacts" / ".drafts").exists() or not any((tmp_path / "artifacts/.drafts").iterdir())


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_bundle_is_one_line(model, tmp_path, kind):
    breaks, named = BROKEN[kind]
    breaks(model)
    sealed(model)
    refused(lambda: evaluate_model.fn(str(model), "demo:", "test"), tmp_path, named)


def moved(place, name, to):
    (place / name).rename(place.parent / "secret")
    (place / name).symlink_to(to)


ENTRY = {"size": 1, "sha256": "0" * 64}
LISTED = {
    "a file above": lambda p: sealed(p, {"../../evil": ENTRY}),
    "a file at the root": lambda p: sealed(p, {"/etc/passwd": ENTRY}),
    "a file above, further down": lambda p: sealed(p, {"a/../../evil": ENTRY}),
    "a file on a drive": lambda p: sealed(p, {"C:evil": ENTRY}),
    "a file of Windows": lambda p: sealed(p, {"..\\evil": ENTRY}),
    "a name with NUL": lambda p: sealed(p, {"a\0b": ENTRY}),
    "a name with a line feed": lambda p: sealed(p, {"a\nb": ENTRY}),
    "half a surrogate": lambda p: sealed(p, {"a\ud800": ENTRY}),
    "no name": lambda p: sealed(p, {"": ENTRY}),
    "a dot": lambda p: sealed(p, {".": ENTRY}),
    "a folder": lambda p: sealed(p, {"a/": ENTRY}),
    "a name of 5 MB": lambda p: sealed(p, {"a" * 5_000_000: ENTRY}),
    "the manifest itself": lambda p: sealed(p, {"manifest.json": ENTRY}),
    "a mark": lambda p: sealed(p, {".marks/a": ENTRY}),
    "a file in a file": lambda p: sealed(p, {"model.json/a": ENTRY}),
    "a digest above": lambda p: sealed(p, digest="../../evil"),
    "a digest at the root": lambda p: sealed(p, digest="/tmp/evil"),
    "another digest": lambda p: sealed(p, digest="0" * 64),
    "a digest in capitals": lambda p: sealed(p, digest="A" * 64),
    "a number for a digest": lambda p: sealed(p, digest=7),
    "a kind above": lambda p: sealed(p, kind="../bundle"),
    "a kind of the store": lambda p: sealed(p, kind=".memory"),
    "a list for a kind": lambda p: sealed(p, kind=["bundle"]),
    "another kind": lambda p: sealed(p, kind="report"),
    "a size below zero": lambda p: sealed(p, {"a": ENTRY | {"size": -1}}),
    "a size that is true": lambda p: sealed(p, {"a": ENTRY | {"size": True}}),
    "an entry that is none": lambda p: sealed(p, files={"model.json": None}),
    "a list of files": lambda p: sealed(p, files=["model.json"]),
    "a list": content("manifest.json", b"[]"),
    "nothing": content("manifest.json", b""),
    "null": content("manifest.json", b"null"),
    "no UTF-8": content("manifest.json", b'{"\xff": 1}'),
    "too deep": content("manifest.json", DEEP),
    "cut off": lambda p: content("manifest.json", (p / "manifest.json").read_bytes()[:-40])(p),
    "none": lambda p: (p / "manifest.json").unlink(),
    "a folder for a manifest": lambda p: ((p / "manifest.json").unlink(), (p / "manifest.json").mkdir()),
    "a pipe for a manifest": lambda p: ((p / "manifest.json").unlink(), os.mkfifo(p / "manifest.json")),
}
FILES = {
    "a file that is not there": lambda p: (p / "decode.json").unlink(),
    "a file that is longer": lambda p: content("decode.json", (p / "decode.json").read_bytes() + b" ")(p),
    "a file of other bytes": lambda p: content("decode.json", (p / "decode.json").read_bytes()[::-1])(p),
    "a link out of the folder": lambda p: moved(p, "decode.json", p.parent / "secret"),
    "a link up and out": lambda p: moved(p, "decode.json", "../secret"),
    "a link to itself": lambda p: moved(p, "decode.json", "decode.json"),
    "a folder for a file": lambda p: ((p / "decode.json").unlink(), (p / "decode.json").mkdir()),
    "a pipe for a file": lambda p: ((p / "decode.json").unlink(), os.mkfifo(p / "decode.json")),
    "a device for a file": lambda p: moved(p, "decode.json", "/dev/zero"),
}


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize("kind", [*LISTED, *FILES])
def test_a_manifest_from_elsewhere_is_checked(model, tmp_path, kind, known):
    """Whether or not the store has the artifact that the manifest says."""
    if known:
        import_model(str(model))
    (LISTED | FILES)[kind](model)
    named = "manifest" if kind in LISTED and kind != "another kind" else "report" if kind in LISTED else "decode.json"
    refused(lambda: import_model(str(model)), tmp_path, named)
    assert not list(Path("/tmp").glob("evil*"))


@pytest.mark.parametrize("change", ["deep/er/more.bin", "ünï code", "a b.c", "..a", "a..", "lm/...", "x" * 200])
def test_names_that_only_look_odd_are_taken(model, change):
    path = model / change
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"more")
    sealed(model)
    assert import_model(str(model)).read(change) == b"more"


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (listen, ["a.wav"]),
        (generate, []),
        (align, ["--audio", "a.wav", "--text", "a"]),
    ],
)
@pytest.mark.parametrize("kind", ["pickle for weights", "the module os", "tokenizer a list", "features a list"])
def test_every_command_ends_in_one_line(model, monkeypatch, capsys, command, arguments, kind):
    BROKEN[kind][0](model)
    sealed(model)
    monkeypatch.setattr(sys, "argv", ["command", "--model", str(model), *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    out, error = capsys.readouterr()
    assert (ended.value.code, out, error.count("\n")) == (1, "", 1)
    assert error.startswith("scriptorium: ")
    assert not Path("run-by-payload").exists()


def test_the_folder_that_is_given_is_what_is_measured(model):
    """Not the store's own copy of what its manifest once listed."""
    good = import_model(str(model))
    before = load_bundle(good).model.state_dict()
    weights(lambda held: {name: value + 1 for name, value in held.items()})(model)
    with pytest.raises(UserError, match=r"model/weights\.pt is not the file that was stored"):
        import_model(str(model))
    sealed(model)
    other = load_bundle(import_model(str(model))).model.state_dict()
    assert all(torch.equal(other[name], value + 1) for name, value in before.items())
    check_golden_outputs(good)
