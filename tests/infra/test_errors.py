"""How a command ends: one line for what is wrong, none where nobody reads on."""

import os
import subprocess
import sys

import pytest

ENDS = {
    "much": "for i in range(100_000): print(i)",
    "what is in the buffer": "print('first', flush=True); sys.stdin.read(); print('last')",
    "an error": "print('first', flush=True); sys.stdin.read(); print('last'); raise UserError('wrong')",
    "a status": "print('first', flush=True); sys.stdin.read(); print('last'); raise SystemExit(1)",
}
CODE = """
import os, sys
from infra.errors import UserError, one_line_errors
with one_line_errors():
    {body}
"""


def unread(command, *, both=False):
    """Status and standard error of a command whose output, or all that it writes, is read for one line."""
    errors = subprocess.STDOUT if both else subprocess.PIPE
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.close()
        error = "" if both else process.stderr.read()
    return process.returncode, error


@pytest.mark.parametrize("both", [False, True], ids=["output", "all"])
@pytest.mark.parametrize("body", ENDS.values(), ids=ENDS)
def test_what_nobody_reads_ends_it_without_a_word(body, both):
    status, error = unread([sys.executable, "-c", CODE.format(body=body)], both=both)
    assert status == 141
    assert error in {"", "scriptorium: wrong\n"}


def test_another_s_pipe_is_another_matter():
    body = "r, w = os.pipe(); os.close(r); os.write(w, b'x')"
    done = subprocess.run([sys.executable, "-c", CODE.format(body=body)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr


def test_help_may_be_read_in_part():
    command = "import sys, time; from flows.command_line.parser import Parser; p = Parser('x\\n' * 50_000); "
    command += "sys.argv = ['x', '--help']; p.parse_args()"
    status, error = unread([sys.executable, "-c", command])
    assert status in {0, 141}  # argparse says nothing of what it cannot write
    assert error == ""


@pytest.mark.parametrize("closed", [1, 2])
def test_a_stream_that_is_not_there_at_all(closed):
    """`>&-`: Python has None for it."""
    code = CODE.format(body="print('x'); raise UserError('wrong')")
    done = subprocess.run([sys.executable, "-c", code], check=False, preexec_fn=lambda: os.close(closed))
    assert done.returncode == 1
