"""Masks personal data in the texts that are kept: e-mail addresses, public IP addresses and telephone numbers.

DCLM masks nothing. FineWeb masks e-mail and public IP addresses; as in FineWeb, the placeholders are addresses that
nobody can own (RFC 2606, RFC 5737, RFC 3849). Telephone numbers are masked only where their form leaves little doubt:
with a country code, or in the North American form with separators.
"""

import ipaddress
import re
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.base import columns
from tamis.base.signals import Signal
from tamis.base.stage import Map, StageContext
from tamis.stages.filter.settings import FilterConfig

EMAIL, IPV4, IPV6, PHONE = "email@example.com", "192.0.2.1", "2001:db8::1", "+0 000 000 0000"
"""Placeholders."""
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9!#$%&'*+/=?^_`{|}~.-])[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}){0,10}"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,10}[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IPV4 = re.compile(rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?![\w]|\.\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:]|\.\d)")
_PHONE = re.compile(
    r"(?<![\w+.])(?:\+[1-9]\d{0,2}[ .\-]?(?:\(\d{1,4}\)[ .\-]?)?\d{1,4}(?:[ .\-]?\d{2,4}){2,4}"
    r"|\([2-9]\d{2}\) ?[2-9]\d{2}[ .\-]\d{4}"
    r"|[2-9]\d{2}([.\-])[2-9]\d{2}\1\d{4})(?![\w]|[.\-]\d)",
    re.ASCII,
)
_UNICAST = ipaddress.ip_network("2000::/3")
"""The range of public IPv6 addresses; most strings outside of it that look like an address are something else
(`a::b`)."""
_MIN_PHONE_DIGITS, _MAX_PHONE_DIGITS = 9, 15
"""Digits of a number with its country code (ITU-T E.164 allows 15 at most)."""
_HINTS = {"email": r"@", "ip": r"\d\.\d{1,3}\.\d|:[0-9A-Fa-f]{0,4}:", "phone": r"\d{4}|\d \d|\d-\d"}
"""Kind -> a pattern that Arrow searches first: a text without a match contains no data of that kind."""


def mask_email(text: str) -> tuple[str, int]:
    """The text with e-mail addresses replaced, and how many there were."""
    return _EMAIL.subn(EMAIL, text)


def mask_ip(text: str) -> tuple[str, int]:
    """The text with public IPv4 and IPv6 addresses replaced, and how many there were; private, loopback and
    documentation addresses stay."""
    count = 0

    def masked(match: re.Match[str]) -> str:
        nonlocal count
        try:
            address = ipaddress.ip_address(match[0])
        except ValueError:
            return match[0]
        if not address.is_global or (address.version == 6 and address not in _UNICAST):
            return match[0]
        count += 1
        return IPV4 if address.version == 4 else IPV6

    return _IPV6.sub(masked, _IPV4.sub(masked, text)), count


def mask_phone(text: str) -> tuple[str, int]:
    """The text with telephone numbers replaced, and how many there were."""
    count = 0

    def masked(match: re.Match[str]) -> str:
        nonlocal count
        digits = sum(c.isdigit() for c in match[0])
        if not _MIN_PHONE_DIGITS <= digits <= _MAX_PHONE_DIGITS:
            return match[0]
        count += 1
        return PHONE

    return _PHONE.sub(masked, text), count


MASKS = {"email": mask_email, "ip": mask_ip, "phone": mask_phone}


class MaskPii(Map):
    """Replaces personal data by placeholders and counts what it replaced, in `num_<kind>_masked`."""

    name: ClassVar[str] = "mask_pii"
    version: ClassVar[int] = 1
    reads = (columns.TEXT,)
    config: FilterConfig

    def __init__(self, config: FilterConfig) -> None:
        super().__init__(config)
        self.kinds = [kind for kind in MASKS if kind in config.mask_pii]
        self.adds = pa.schema([(f"num_{kind}_masked", pa.int32()) for kind in self.kinds])
        self.signals = tuple(
            Signal(column=f"num_{kind}_masked", label=f"{kind} addresses masked", low=0, high=40)
            if kind != "phone"
            else Signal(column="num_phone_masked", label="telephone numbers masked", low=0, high=40)
            for kind in self.kinds
        )

    def identity(self) -> list[object]:
        return [self.name, self.version, self.kinds]

    def open(self, context: StageContext) -> None:
        """Does nothing, because there is nothing to load."""

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        text = batch.column(columns.TEXT)
        counts = {kind: np.zeros(batch.num_rows, np.int32) for kind in self.kinds}
        masked: dict[int, str] = {}
        for kind in self.kinds:
            hints = pc.match_substring_regex(text, _HINTS[kind]).fill_null(False).to_numpy(zero_copy_only=False)
            for row in np.flatnonzero(hints).tolist():
                before = masked.get(row) or text[row].as_py()
                masked[row], counts[kind][row] = MASKS[kind](before)
        arrays = {name: batch.column(name) for name in batch.schema.names}
        if any(count.any() for count in counts.values()):
            texts = text.to_pylist()
            for row, edited in masked.items():
                texts[row] = edited
            arrays[columns.TEXT] = pa.array(texts, text.type)
        for kind, count in counts.items():
            arrays[f"num_{kind}_masked"] = pa.array(count)
        return pa.RecordBatch.from_pydict(arrays)
