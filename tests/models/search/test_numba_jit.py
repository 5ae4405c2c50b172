"""What is compiled is kept on disk, and forgotten when a module that it calls changes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CALLED = """from models.search.numba_jit import jit
@jit
def added(x): return x + {number}
"""
ENTRY = """import called
from models.search.numba_jit import cached_jit
@cached_jit(called)
def double(x): return 2 * called.added(x)
if __name__ == "__main__":
    import entry  # by its name, as everybody imports it
    print(entry.double(1), sum(entry.double.stats.cache_hits.values()))
"""


def run(folder):
    said = subprocess.run(
        [sys.executable, "entry.py"],
        cwd=folder,
        env={"PYTHONPATH": f"{ROOT}:{folder}", "HOME": str(folder), "NUMBA_CACHE_DIR": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.split()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "entry.py").write_text(ENTRY)
    (tmp_path / "called.py").write_text(CALLED.format(number=1))
    return tmp_path


def test_a_second_process_takes_it_from_disk_until_a_part_changes(folder):
    assert run(folder) == ["4", "0"]
    assert list(folder.glob("__pycache__/*.nbc"))
    assert run(folder) == ["4", "1"]
    (folder / "called.py").write_text(CALLED.format(number=9))
    assert run(folder) == ["20", "0"]


def test_without_a_folder_to_write_to_it_is_compiled_each_time(folder):
    (folder / "__pycache__").write_text("no folder")
    (folder / ".cache").write_text("no folder")
    assert run(folder) == ["4", "0"]
    assert run(folder) == ["4", "0"]


def test_what_was_kept_with_a_module_that_has_moved_is_compiled_anew(folder):
    pair = "from typing import NamedTuple\nclass Pair(NamedTuple):\n    one: int\n    two: int\n"
    entry = """import {module}
from models.search.numba_jit import cached_jit
@cached_jit()
def total(pair): return pair.one + pair.two
if __name__ == "__main__":
    import entry
    print(entry.total({module}.Pair(1, 2)), sum(entry.total.stats.cache_hits.values()))
"""
    for module in ("before", "after"):
        (folder / f"{module}.py").write_text(pair)
        (folder / "entry.py").write_text(entry.format(module=module))
        assert run(folder) == ["3", "0"]
        assert run(folder) == ["3", "1"]
        (folder / f"{module}.py").unlink()
