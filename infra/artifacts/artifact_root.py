"""The artifact root, tried before work starts: what would not let itself be stored is said then, not at the end."""

import uuid

from infra import storage
from infra.errors import UserError, explain_full_disk
from infra.settings import settings

PROBE_BYTES = 1 << 16  # more than a full disk has left


def check_root() -> None:
    """Raises UserError where nothing can be stored below the artifact root: before work starts, for its end is late."""
    root, probe = settings().root, storage.join(settings().root, f".probe-{uuid.uuid4().hex}")
    try:
        with explain_full_disk(f"the artifact root {root}"):
            storage.write(probe, bytes(PROBE_BYTES))
            storage.remove(probe)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"the artifact root {root} is a file; set SCRIPTORIUM_ARTIFACTS to a folder") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"the artifact root {root}: {reason}; set SCRIPTORIUM_ARTIFACTS to a folder of yours"
        ) from error
