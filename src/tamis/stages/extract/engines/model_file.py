"""The model file of the engine `tamis`, as `bench/fit_extract.py` writes it, and its identity. Loads no kernels."""

import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

MODEL_FILE = "blocks.json"


@cache
def _content() -> bytes:
    return files("tamis.stages.extract.engines").joinpath(MODEL_FILE).read_bytes()


def model_digest() -> str:
    """Hex digest of the file."""
    return hashlib.blake2b(_content(), digest_size=16).hexdigest()


@cache
def model_document() -> dict[str, Any]:
    """`provenance` (how it was fitted, on what, its scores), `threshold`, `features` and `trees`."""
    document: dict[str, Any] = json.loads(_content())
    return document
