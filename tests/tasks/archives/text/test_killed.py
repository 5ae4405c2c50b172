"""A run over a long document that is killed at random moments and begun again ends in the bytes of one that is not."""

import os
import random
import subprocess
import sys
import time

from archives.conftest import contents
from archives.text.small_translator import translator_bundle
from archives.text.test_translate_parts import run

from models.interface import Beam
from tasks.archives.text.translate_parts import TranslationJob
from tasks.decoding.translate import TranslationConfig
from tasks.documents.document import DocumentConfig

DRIVER = """
import sys
from archives.text.test_killed import make_job
from archives.text.test_translate_parts import run
run(make_job(), *sys.argv[1:], max_kb=1)
"""


def make_job():
    bundle = translator_bundle()
    config = TranslationConfig(beam=Beam(width=1, max_length=3))
    formats = ("parquet", "document")
    return TranslationJob(bundle=bundle, config=config, documents=DocumentConfig(), formats=formats, decoding="d")


def test_killed_at_random_moments(artifact_root, tmp_path):
    """What is committed is changed in no later run, and nothing half-written is ever there."""
    drawn = random.Random(0)
    words = ["one", "two", "three", "Four", "five.", "six"]
    lines = [" ".join(drawn.choices(words, k=drawn.randint(0, 9))) for _ in range(2000)]
    (tmp_path / "in.txt").write_text("\n".join(lines))
    run(make_job(), tmp_path / "in.txt", tmp_path / "whole", max_kb=1)
    expected, out = contents(tmp_path / "whole"), tmp_path / "out"
    assert len([name for name in expected if name.startswith("parts/")]) > 5
    committed = dict[str, bytes]()
    for wanted in (1, 12):
        driver = start(tmp_path / "in.txt", out)
        while len(list(out.glob("parts/*.json"))) < wanted:
            assert driver.poll() is None
            time.sleep(0.01)
        time.sleep(drawn.uniform(0, 0.1))
        driver.kill()
        driver.wait()
        there = contents(out)
        assert {name: there[name] for name in committed} == committed
        committed = {name: data for name, data in there.items() if name.startswith("parts/")}
        assert "manifest.json" not in there
        assert "document/in.txt" not in there
    assert start(tmp_path / "in.txt", out).wait() == 0
    assert contents(out) == expected
    assert (out / "document" / "in.txt").read_bytes().count(b"\n") == 1999


def start(source, out):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(source), str(out)], env=environment)
