"""The hold-out: which hosts (or URLs) are kept for evaluation, decided by a hash that any machine and run repeats."""

from typing import Literal

from tamis.base.hosts import host_of
from tamis.base.seeds import unit_hash

_SALT = "holdout"
"""Fixed, not the run's seed: recipes that are compared must hold out the same hosts."""


def is_held_out(url: str, document_id: str, fraction: float, by: Literal["host", "url"]) -> bool:
    """Whether a document belongs to the held-out `fraction`. All pages of a host share one fate (`by` host); what has
    no host goes by its URL, what has no URL by its id."""
    key = (host_of(url) if by == "host" else "") or url or document_id
    return unit_hash(key, _SALT) < fraction
