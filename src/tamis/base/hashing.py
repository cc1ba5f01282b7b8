"""Fingerprints: one hash over plain data, the same on every machine and for every order of dictionary keys."""

import hashlib
import json
from typing import Any


def fingerprint(*parts: Any) -> str:
    """The fingerprint of `parts`, which must be JSON-serialisable: 32 hex digits."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=True)
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
