"""Ray: the cluster named by RAY_ADDRESS, or one on this machine that ends with the process."""

import logging
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra import storage
from infra.errors import UserError, tell_user
from infra.settings import set_defaults, settings

# Each a default: what the user has set in the environment stays.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # 60 is too short on a busy machine
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # keep CUDA visible to tasks that ask for none; the future default
    # Without end by default. The wait between two doubles, from a second on: some minutes on a machine that is full.
    "RAY_task_oom_retries": "8",
}
# Of a command: Ray's C++ side writes to its terminal what nobody there can act on (an actor's arguments lie in the
# object store, an exporter of metrics is late). What ends a run comes as an exception too.
QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal"}
# The name says nothing of it: without "clusters", Ray listens on the loopback interface only.
ON_THIS_MACHINE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
# A worker looks for modules first in the folder that its driver was in when it connected. This one has ours, so that a
# folder `models` or `tasks` of the user's is not taken for it.
CODE = Path(__file__).parent.parent
# How often Ray tries to reach a cluster, for 40 s each: 20 times by default, without a word.
TRIES = {"RAY_gcs_server_port_wait_time_s": "1"}
CONNECT_SECONDS = 10


def connect() -> Any:
    """The `ray` module, connected. Safe to call again."""
    set_defaults(ENVIRONMENT | QUIET)
    address = settings().ray_address
    if address.split(":")[0] in {"", "127.0.0.1", "localhost"}:
        set_defaults(ON_THIS_MACHINE)
    import ray  # seconds that a run with nothing to do need not pay

    if ray.is_initialized():
        return ray
    if address:
        refuse_unreachable(address)
        set_defaults(TRIES)
    import ray.data
    import ray.train

    data = ray.data.DataContext.get_current()
    data.enable_progress_bars = False  # tasks/steps/ray_jobs.py draws one bar a step instead
    data.op_resource_reservation_enabled = False  # it keeps half the cores for other operators; our jobs have one
    for name in ("ray", "ray.data", "ray.train"):  # a line for each stage of each job tells a user nothing
        logging.getLogger(name).setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    quiet["runtime_env"] = {"env_vars": settings().for_workers()}
    tell_user(f"connecting to Ray at {address}" if address else f"starting Ray on {settings().cores} cores")
    with explain_failed_start(address), without_stderr(), chdir(CODE), keep_sigterm():
        if address:
            ray.init(address=address, ignore_reinit_error=True, **quiet)
        else:
            # "local": otherwise Ray would join whatever cluster it finds on this machine
            ray.init("local", num_cpus=int(settings().cores), include_dashboard=False, **quiet)
    if address:
        refuse_unseen_root(ray)
    return ray


@contextmanager
def explain_failed_start(address: str) -> Iterator[None]:
    """Raises UserError where Ray does not start on this machine, or the cluster at an address does not take us."""
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"Ray at {address} wants a token: {reason}; `make up` prints what to set") from error
    except ConnectionError as error:
        raise UserError(
            f"no Ray cluster answers at {address}, or it refuses the token of RAY_AUTH_TOKEN_PATH; "
            "unset RAY_ADDRESS or start a cluster (make up)"
        ) from error
    except Exception as error:
        if type(error) is not Exception:  # Ray has no type for a node that is not up in its 30 s
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"Ray did not start: {reason} Is the machine busy, or its memory full? "
            "Run the same command again: it goes on from what is done"
        ) from error


def refuse_unreachable(address: str) -> None:
    """Raises UserError where nobody listens at the address of a cluster, or where it is none."""
    if address in {"auto", "local"}:
        return
    try:
        place = urlsplit(address if "://" in address else f"//{address}")
        host, port = place.hostname, place.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise UserError(f"RAY_ADDRESS={address}: give HOST:PORT of a Ray cluster, or unset it to work on this machine")
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"no Ray cluster answers at {address} ({reason}); unset RAY_ADDRESS or start a cluster (make up)"
        ) from error


@contextmanager
def keep_sigterm() -> Iterator[None]:
    """What the program does on SIGTERM stays: Ray's C++ side takes it for a crash, shows addresses and aborts."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def without_stderr() -> Iterator[None]:
    """While Ray starts: its C++ side begins by saying which log level it was given. What fails is an exception."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def refuse_unseen_root(ray: Any) -> None:
    """Raises UserError that names a node which does not see the artifact root, where that is a folder."""
    root = settings().root
    if storage.is_s3(root):
        return
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    probe = storage.join(root, f".probe-{uuid.uuid4().hex}")
    storage.write(probe, b"")
    try:
        looking = {}
        for node in (node for node in ray.nodes() if node["Alive"]):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            look = ray.remote(num_cpus=0, scheduling_strategy=there)(os.path.exists)
            looking[node["NodeManagerAddress"]] = look.remote(probe)
        unseen = sorted(address for address, seen in looking.items() if not ray.get(seen))
    finally:
        storage.remove(probe)
    if unseen:
        raise UserError(
            f"the Ray node {unseen[0]} does not see the artifact root {root}; mount it there under the same path, or "
            "set SCRIPTORIUM_ARTIFACTS to s3://bucket/prefix"
        )
