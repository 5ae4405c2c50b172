"""What scores were measured on, as a digest: two models are compared where it is the same."""

import hashlib
import json
from collections.abc import Iterable


def digest_references(pairs: Iterable[tuple[str, str]]) -> str:
    """Of the keys of items and what is right for each, in any order."""
    return hashlib.sha256(json.dumps(sorted(pairs)).encode()).hexdigest()
