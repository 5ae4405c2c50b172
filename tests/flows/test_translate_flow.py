"""`translate`: lines in, lines out, in order and as they come; what is wrong is one line, after what came before it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from digit_translator import digit_translator, numbers, reversed_number
from untrained import CTC, bundle_of

from flows import translate
from flows.shared.translation_setup import load_translator
from flows.translate import main, read_batches
from infra.errors import UserError
from models.interface import Beam
from tasks.bundles.model_bundle import load_bundle
from tasks.bundles.quantize import quantize_bundle
from tasks.decoding.translate import Translator


@pytest.fixture
def run(artifact_root, monkeypatch, capfd):
    """`run(*arguments, given=b"")`: status, lines of standard output, standard error."""

    def command(*arguments, given=b"", model=None):
        model = model or digit_translator()
        read, write = os.pipe()
        os.write(write, given)
        os.close(write)
        monkeypatch.setattr(sys, "argv", ["translate", "--model", model.uri, *arguments])
        with open(read, "rb") as stream:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
            try:
                main()
                status = 0
            except SystemExit as ended:
                status = ended.code
        told = capfd.readouterr()
        return status, told.out.splitlines(), told.err

    return command


def test_lines_stay_in_their_order_and_empty_ones_empty(run, monkeypatch):
    monkeypatch.setattr(translate, "LINES_AT_ONCE", 7)
    texts = [text if i % 5 else "" for i, text in enumerate(numbers(40, seed=4))]
    status, lines, told = run(given="\n".join(texts).encode())
    assert (status, told) == (0, "")
    assert lines == [reversed_number(text) for text in texts]
    _, _, told = run(given=b"one\none zebra\n\nzebra\n")
    assert "2 of 4 lines hold what the model has no token for, which is lost: the first is line 2" in told
    assert run(given=b"")[1] == []
    assert run(given=b"\n\n")[1] == ["", ""]
    assert run(given=b"\xef\xbb\xbfone\r\ntwo\r\n")[1] == ["eins", "zwei"]


def test_a_language_model_says_which_words_follow(run, tmp_path):
    rows = "\n".join(["-99\t<s>", "-1\t</s>", "-9\t<unk>", "-0.1\tzwei", *(f"-7\t{word}" for word in ("eins", "drei"))])
    (tmp_path / "lm.arpa").write_text(f"\\data\\\nngram 1=6\n\n\\1-grams:\n{rows}\n\n\\end\\\n")
    plain, fused = ("--set", "beam.width=8"), ("--set", f"lm={tmp_path / 'lm.arpa'}", "--set", "beam.lm_weight=2")
    assert run(*plain, given=b"two three\n")[1] == ["drei zwei"]
    status, lines, told = run(*plain, *fused, given=b"two three\n")
    assert status == 0, told
    assert "drei" not in lines[0]
    assert "beam.lm_weight is 0" in run(*fused[:2], given=b"two\n")[2]


def test_texts_of_the_command_line(run):
    assert run("--text", "one two", "--text", "three")[1] == ["zwei eins", "drei"]
    assert run("--text", "")[1] == [""]


def test_a_translation_begins_with_what_its_line_says(run):
    given = b"one two\tzwei\none two\none two three\tneun\t\n"
    _, lines, _ = run("--prefixes", "--n-best", "2", given=given)
    rows = [line.split("\t") for line in lines]
    assert all(text.startswith(begin) for begin, (_, _, text) in zip(["zwei"] * 2, rows[:2], strict=True))
    assert (rows[0][2], rows[2][2]) == ("zwei eins", "zwei eins")
    assert all(row[2].split()[0] == "neun" for row in rows[4:])
    assert run("--prefixes", "--text", "one two\tzwei")[1] == ["zwei eins"]
    status, lines, told = run("--prefixes", given=b"one two\n\none\tzebra\nthree\none\tzebra\n")
    assert (status, lines) == (1, ["zwei eins", ""]), "what comes before is written"
    assert "line 3: the prefix 'zebra' holds what the model has no token for" in told
    nothing_fits = ("one\t" + " ".join(["neun"] * 13)).encode()
    status, lines, told = run("--prefixes", given=b"one two\n" + nothing_fits + b"\none\tzebra\n")
    assert (status, lines) == (1, ["zwei eins"]), "the first of the lines that are wrong is named"
    assert "line 2: the prefix" in told
    status, _, told = run("--prefixes", "--set", "beam.max_length=2", given=b"one\teins zwei drei\n")
    assert status == 1
    assert "beam.max_length" in told


def test_n_best_and_json(run):
    _, lines, _ = run("--n-best", "3", given=b"one two\n\nthree\n")
    rows = [line.split("\t") for line in lines]
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] + ["3"] * 3
    assert (rows[0][2], rows[3][2], rows[4][2]) == ("zwei eins", "", "drei")
    assert float(rows[0][1]) > float(rows[1][1]) > float(rows[2][1])
    _, (line, other), _ = run("--json", given=b"one two\none zebra\n")
    told = json.loads(line)
    assert (told["text"], told["truncated"], told["unknown"]) == ("zwei eins", False, 0)
    assert told["n_best"] == [{"text": "zwei eins", "score": told["score"]}]
    assert json.loads(other)["unknown"] >= 1


def test_what_is_cut_is_told(run):
    status, lines, told = run("--set", "max_source_tokens=2", given=b"one\none two three\n")
    assert (status, lines[0]) == (0, "eins")
    assert "line 2: cut: the source is longer than the model reads" in told


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--source-language", "fr"), 1, "--source-language fr: this model translates en to de"),
        (("--target-language", "en"), 1, "--target-language en: this model translates en to de"),
        (("--set", "beam.lm_weight=0.5"), 1, "no language model"),
        (("--set", "beam.wide=3"), 1, "did you mean beam.width?"),
        (("--set", "max_source_tokens=0"), 1, "max_source_tokens"),
        (("--n-best", "0"), 2, "--n-best 0"),
        (("in.txt",), 2, "in.txt: lines come from standard input, `< in.txt`"),
    ],
)
def test_mistakes_are_one_line(run, arguments, status, told):
    found, lines, error = run(*arguments, given=b"one\n")
    assert (found, lines) == (status, [])
    assert told in error.strip().splitlines()[-1]


def test_languages_that_are_the_models_own_are_taken(run):
    assert run("--source-language", "EN-us", "--target-language", "de", given=b"one\n")[1] == ["eins"]


def test_another_model_is_refused(run):
    status, _, told = run(given=b"one\n", model=bundle_of(CTC))
    assert status == 1
    assert "not a translator" in told


@pytest.mark.parametrize(
    ("bad", "told"), [(b"caf\xe9", "line 3: not UTF-8"), (b"x" * (1 << 20) + b"yy", "line 3: longer than")]
)
def test_what_came_before_a_bad_line_is_translated(run, monkeypatch, bad, told):
    monkeypatch.setattr(translate, "READ_AT_ONCE", 1 << 15)
    if len(bad) > 100:  # more than a pipe holds
        batches = read_batches(io.BytesIO(b"one\ntwo\n" + bad + b"\nthree\n"))
        assert next(batches) == ["one", "two"]
        with pytest.raises(UserError, match=told):
            next(batches)
        return
    status, lines, error = run(given=b"one\ntwo\n" + bad + b"\nthree\n")
    assert (status, lines) == (1, ["eins", "zwei"])
    assert told in error


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_no_line_is_lost_however_the_bytes_come(monkeypatch, size):
    monkeypatch.setattr(translate, "READ_AT_ONCE", size)
    monkeypatch.setattr(translate, "LINES_AT_ONCE", 3)
    lines = ["ä", "", "b c", "\u2028x", "", "漢字", "last"]
    for end in ("", "\n"):
        found = list(read_batches(io.BytesIO(("\n".join(lines) + end).encode())))
        assert [line for batch in found for line in batch] == lines
        assert max(map(len, found)) <= 3


def test_a_line_is_answered_before_the_next_is_asked_for(artifact_root):
    command = [sys.executable, "-m", "flows.translate", "--model", digit_translator().uri]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], env=dict(os.environ)
    ) as process:
        for given, answer in ((b"one two\n", "zwei eins\n"), (b"three\n", "drei\n")):
            process.stdin.write(given)
            process.stdin.flush()
            assert process.stdout.readline().decode() == answer
        process.stdin.close()
        assert process.wait() == 0


def test_weights_of_8_bits_say_nearly_the_same(artifact_root, run):
    texts, bundle = numbers(30, seed=9), load_bundle(digit_translator())
    rounded = quantize_bundle(bundle)
    found = Translator(rounded).translate(texts)
    assert sum(one.text == reversed_number(text) for one, text in zip(found, texts, strict=True)) >= 28
    assert {str(p.dtype) for p in bundle.model.parameters()} == {"torch.float32"}
    kinds = {type(layer).__name__ for layer in rounded.model.modules() if "Linear" in type(layer).__name__}
    assert kinds == {"Int8Linear"}
    assert run("--set", "quantize=int8", given=b"one two\n")[1] == ["zwei eins"]


def test_a_model_by_its_settings(artifact_root):
    translator = load_translator(digit_translator().uri, ["beam.width=2", "batching.utterances_per_batch=3"])
    assert (translator.config.beam.width, translator.config.batching.utterances_per_batch) == (2, 3)
    widths = [load_translator(digit_translator().uri, (), n_best=n).config.beam.width for n in (1, 3, 7)]
    assert widths == [3, 3, 7], "the bundle's, and as wide as hypotheses are asked for"
    groups = digit_translator(beam=Beam(width=4, groups=2, diversity=0.5))
    assert load_translator(groups.uri, (), n_best=5).config.beam.width == 6
