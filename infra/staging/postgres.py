"""Debian's PostgreSQL as the image of the same name starts it: the user, password and database that it is told, and
the SQL beside it when there is no data yet.
"""

import pwd
import re
import shutil
import subprocess
from pathlib import Path

from infra.errors import UserError
from infra.staging.compose_file import load_databases

DEBIAN = Path("/usr/lib/postgresql")
OWNER = "postgres"  # the server refuses to be root's
AS_OWNER = ["setpriv", "--pdeathsig=KILL", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"]


def programs() -> Path:
    """The folder of the newest version's. Raises UserError where there is none."""
    found = [path.parent for path in DEBIAN.glob("*/bin/postgres")]
    if not found:
        raise UserError("PostgreSQL is not installed here: apt-get install postgresql")
    return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])


def command(home: Path, environment: dict[str, str]) -> list[str]:
    """What starts the server. home: of its data, made where there are none."""
    data = home / "data"
    if not data.exists():
        _initialize(data, environment)
    return [*AS_OWNER, str(programs() / "postgres"), "-D", str(data), "-h", "*"]


def _initialize(data: Path, environment: dict[str, str]) -> None:
    account = pwd.getpwnam(OWNER)
    password = data.parent / "password"
    password.write_text(environment["POSTGRES_PASSWORD"])
    for path in (data.parent, password):
        shutil.chown(path, account.pw_uid, account.pw_gid)
    how = ["--username", environment["POSTGRES_USER"], "--pwfile", str(password), "--auth-host=scram-sha-256"]
    _run([str(programs() / "initdb"), "-D", str(data), *how, "--auth-local=trust", "--encoding=UTF8", "--no-sync"])
    password.unlink()
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all all scram-sha-256\n")
    for statement in (f"CREATE DATABASE {environment['POSTGRES_DB']}", load_databases()):
        _run([str(programs() / "postgres"), "--single", "-D", str(data), "postgres"], f"{statement}\n")


def _run(program: list[str], said: str = "") -> None:
    done = subprocess.run([*AS_OWNER, *program], input=said, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise UserError(f"{Path(program[0]).name}: {(done.stderr or done.stdout).strip()[-300:]}")
