"""The hold-out: which hosts (or URLs) are kept for evaluation, decided by a hash that any machine and run repeats."""

from typing import Literal

from tamis.base.hosts import host_of
from tamis.base.seeds import unit_hash

_SALT = "holdout"
"""A fixed salt instead of the run's seed, because recipes that are compared must hold out the same hosts."""


def is_held_out(url: str, document_id: str, fraction: float, by: Literal["host", "url"]) -> bool:
    """Whether a document belongs to the held-out `fraction`. With `by` = host, all pages of a host are on the same
    side. A document without a host is hashed by its URL, and one without a URL by its id."""
    key = (host_of(url) if by == "host" else "") or url or document_id
    return unit_hash(key, _SALT) < fraction
