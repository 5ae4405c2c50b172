"""What a team runs, on this machine alone: `make staging`.

    python -m infra.staging             the services of compose.yaml, and three flows through them
    python -m infra.staging --faults    then an upgrade, a database that is away and a machine that is lost

PostgreSQL under Prefect and MLflow, S3 with signatures, a Ray cluster of two machines with its token, and the Prefect
worker that deploys infra/prefect.yaml: each on a machine of its own (network.py), with the command and the variables
of infra/compose.yaml. All end with this command. What they say goes to .scriptorium/staging/. Needs root.
"""

import argparse
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import one_line_errors
from infra.settings import HOME
from infra.staging.cluster import CODE, Cluster
from infra.staging.faults import run_faults
from infra.staging.flow_runs import run_flows
from infra.staging.inputs import write_inputs
from infra.staging.network import network

LOGS = HOME / "staging"


@contextmanager
def staging_cluster() -> Iterator[Cluster]:
    """All services, up and well; within, the flows' inputs lie in the bucket. Ended afterwards, whatever happens."""
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    folder = Path(tempfile.mkdtemp(prefix="scriptorium-staging-"))
    folder.chmod(0o755)  # PostgreSQL's user passes through
    try:
        cluster = Cluster(folder, LOGS)
        cluster.check()
        with network([*cluster.services]):
            try:
                write_inputs(cluster.bucket, folder / "demo", CODE)
                start = time.monotonic()
                cluster.start_all()
                print(f"{'all services are up':<30} {time.monotonic() - start:15.0f} s", flush=True)
                yield cluster
            finally:
                cluster.kill_all()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", action="store_true", help="break things afterwards, and compare what comes out")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with one_line_errors(interrupted="interrupted; what was started has been ended"), staging_cluster() as cluster:
        run_flows(cluster)
        if given.faults:
            run_faults(cluster)


if __name__ == "__main__":
    main()
