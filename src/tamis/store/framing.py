"""Records of WARC and ARC files, found even where lengths are wrong, separators missing or bytes lost.

The walk believes a record's length as long as the next record follows; where it does not, it looks for the next record
line and cuts or extends the record to there. So a wrong length costs nothing, damage costs the damaged record.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_RECORD_BYTES = 256 << 20
"""A longer record is not held in memory: it is skipped and becomes a quarantined row."""
_MAX_HEADER_BYTES = 1 << 20
_MAX_LINE_BYTES = 1 << 16

_WARC_LINE = re.compile(rb"WARC/\d\.\d+[ \t]*\r?\n(?=[!-9;-~]+[ \t]*:)")
_ARC_FIELDS = (
    rb"[A-Za-z][A-Za-z0-9+.\-]{1,20}:[^\r\n]* "
    rb"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:]*|-) \S+ \S+ \S+[ ]?\r?\n"
)


@dataclass(frozen=True)
class _RecordLine:
    """How a record begins: `here` where one must stand, `anywhere` where one is looked for."""

    here: re.Pattern[bytes]
    anywhere: re.Pattern[bytes]


_WARC = _RecordLine(_WARC_LINE, _WARC_LINE)
# An ARC's record line is told from text by standing at the beginning of a line; after a body that does not end one it
# may stand anywhere, so that only the search asks for it.
_ARC = _RecordLine(re.compile(_ARC_FIELDS), re.compile(rb"^" + _ARC_FIELDS, re.MULTILINE))
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")
_SPACE = b"\r\n \t"
_NO_BODY = memoryview(b"")


@dataclass(slots=True)
class RawRecord:
    """One record as it lies in the file. `kind` is the WARC-Type ('arc_header' for an ARC's first record); `problem` is
    '' or 'kind: detail' of what was wrong with it; `body`, a view that holds up to a chunk more than itself in memory,
    is empty for kinds that the caller did not want."""

    number: int
    kind: str
    headers: dict[str, str]
    body: memoryview
    problem: str = ""

    def header(self, name: str) -> str:
        """Value of a header whatever its case, '' when absent."""
        value = self.headers.get(name)
        if value is not None:
            return value
        name = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == name), "")


class _Window:
    """The decoded bytes around the current position; a gap in the chunks ends the window until `next_part`."""

    def __init__(self, chunks: Iterator[bytes | None]) -> None:
        self._chunks = chunks
        self._exhausted = self._part_ended = False
        self.data = b""
        self.pos = 0

    def have(self, num_bytes: int) -> bool:
        """Load until `num_bytes` lie after the position; False when the part ends before."""
        missing = num_bytes - (len(self.data) - self.pos)
        if missing <= 0:
            return True
        pieces = [self.data[self.pos :]]
        while missing > 0 and not self._part_ended:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._part_ended = True
            else:
                pieces.append(chunk)
                missing -= len(chunk)
        self.data, self.pos = b"".join(pieces), 0
        return missing <= 0

    def find(self, pattern: re.Pattern[bytes], start: int, limit: int) -> re.Match[bytes] | None:
        """First match at `start` bytes after the position or later, loading up to `limit` bytes."""
        size = max(start, 4096)
        while True:
            complete = not self.have(min(size, limit))
            match = pattern.search(self.data, self.pos + start)
            # A match at the very edge may be the beginning of a longer one.
            if match and (complete or match.end() < len(self.data)):
                return match
            if complete or size >= limit:
                return match
            start = max(start, len(self.data) - self.pos - _MAX_LINE_BYTES)
            size = 2 * max(size, len(self.data) - self.pos)

    def left(self) -> int:
        return len(self.data) - self.pos

    def next_part(self) -> bool:
        """Go on after a gap; False at the end of the file. (`None` from an ended iterator looks like a gap, too: then
        the part after it is empty.)"""
        self._part_ended = False
        chunk = next(self._chunks, _END)
        if isinstance(chunk, bytes):
            self.data, self.pos = chunk, 0
            return True
        if chunk is None:
            self.data, self.pos, self._part_ended = b"", 0, True
            return True
        return False


_END = object()


def records(
    chunks: Iterator[bytes | None], notes: Counter[str], wanted: Callable[[str], bool] = lambda kind: True
) -> Iterator[RawRecord]:
    """Every record of a decoded WARC or ARC file, in order. `wanted` says of which kinds the bodies are needed.

    `notes` counts `skipped_bytes` (belonging to no record), `wrong_record_length` and `lost_parts`. A record with
    fewer bytes than it promised has the problem `truncated_record`, a longer one than MAX_RECORD_BYTES `too_large`.
    """
    window = _Window(chunks)
    number = 0
    while True:
        is_arc = None
        while True:
            if not _skip_space(window):
                break
            if is_arc is None:
                is_arc = _is_arc(window)
            line = _ARC if is_arc else _WARC
            if not line.here.match(window.data, window.pos) and not _resynchronise(window, line, notes):
                break
            number += 1
            record, length = (_arc_header if is_arc else _warc_header)(window, number)
            _take_body(window, record, length, line, wanted(record.kind), notes)
            yield record
        if not window.next_part():
            return
        notes["lost_parts"] += 1


def _is_arc(window: _Window) -> bool:
    window.have(_MAX_LINE_BYTES)
    warc, arc = (pattern.search(window.data, window.pos) for pattern in (_WARC.anywhere, _ARC.anywhere))
    return arc is not None and (warc is None or arc.start() < warc.start())


def _skip_space(window: _Window) -> bool:
    """To the next byte that is not white space; False at the end of the part. Loads a whole record line."""
    while window.have(1):
        data, pos = window.data, window.pos
        while pos < len(data) and data[pos] in _SPACE:
            pos += 1
        window.pos = pos
        if pos < len(data):
            if len(data) - pos < 256:
                window.have(_MAX_LINE_BYTES)
            return True
    return False


def _resynchronise(window: _Window, line: _RecordLine, notes: Counter[str]) -> bool:
    """Skip what belongs to no record; False when no further record line follows in this part."""
    while True:
        complete = not window.have(2 * _MAX_LINE_BYTES)
        match = line.anywhere.search(window.data, window.pos)
        if match:
            notes["skipped_bytes"] += match.start() - window.pos
            window.pos = match.start()
            return True
        step = window.left() if complete else window.left() - _MAX_LINE_BYTES
        notes["skipped_bytes"] += step
        window.pos += step
        if complete:
            return False


def decode_header(raw: bytes) -> str:
    """UTF-8, or Latin-1 where it is not: a header is never the reason to lose a record."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def parse_fields(raw: bytes) -> dict[str, str]:
    """'Name: value' lines, folded lines joined, the last of equal names winning."""
    fields: dict[str, str] = {}
    last = ""
    for line in decode_header(raw).split("\n"):
        if line[:1] in (" ", "\t") and last:
            fields[last] = f"{fields[last]} {line.strip()}".strip()
            continue
        name, colon, value = line.partition(":")
        if colon and (last := name.strip()):
            fields[last] = value.strip()
    return fields


def _warc_header(window: _Window, number: int) -> tuple[RawRecord, int | None]:
    """Reads the header at the position; returns the record without body and its length (None: not told)."""
    end = window.find(_END_OF_HEADER, 0, _MAX_HEADER_BYTES)
    stop = end.end() if end else len(window.data)
    raw = window.data[window.pos : stop]
    window.pos = stop
    fields = parse_fields(raw.partition(b"\n")[2])
    record = RawRecord(number, "", fields, _NO_BODY)
    record.kind = record.header("WARC-Type").lower() or "no_type"
    if end is None:
        record.problem = "truncated_record: the file ends inside the record's header"
    return record, _length(record.header("Content-Length"))


def _arc_header(window: _Window, number: int) -> tuple[RawRecord, int | None]:
    line = window.data[window.pos : window.data.index(b"\n", window.pos) + 1]
    window.pos += len(line)
    url, address, date, mime, length = decode_header(line).strip().rsplit(" ", 4)
    kind = "arc_header" if url.startswith("filedesc:") else "response"
    fields = {
        "WARC-Type": kind, "WARC-Target-URI": url, "WARC-IP-Address": address, "WARC-Date": _iso_date(date),
        "Content-Type": mime, "Content-Length": length,
    }  # fmt: skip
    return RawRecord(number, kind, fields, _NO_BODY), _length(length)


def _iso_date(date: str) -> str:
    """ARC's 14 digits as in a WARC; anything else as it is."""
    if len(date) != 14 or not date.isdigit():
        return date
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:]}Z"


def _length(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _take_body(
    window: _Window, record: RawRecord, length: int | None, line: _RecordLine, wanted: bool, notes: Counter[str]
) -> None:
    """Move past the body, into `record.body` when wanted; repair a length that leads to no record."""
    if record.problem:
        return
    if length is not None and length > MAX_RECORD_BYTES:
        record.problem = f"too_large: the record is {length} bytes long, {MAX_RECORD_BYTES} are read"
        while length > 0 and window.have(1):
            step = min(length, window.left())
            window.pos += step
            length -= step
        return
    promised = length
    if length is None or not _record_follows(window, length, line):
        length = _true_length(window, length, line)
        short = promised is not None and length == window.left() < promised
        if short:
            record.problem = f"truncated_record: {length} of {promised} bytes"
        elif length != promised:
            notes["wrong_record_length"] += 1
    if wanted:
        record.body = memoryview(window.data)[window.pos : window.pos + length]
    window.pos += length


def _record_follows(window: _Window, length: int, line: _RecordLine) -> bool:
    """Whether `length` bytes are there with a record line, or nothing more, after them."""
    if not window.have(length):
        return False
    window.have(length + 4096)
    pos = window.pos + length
    data = window.data
    while pos < len(data) and data[pos] in _SPACE:
        pos += 1
    return pos == len(data) or line.here.match(data, pos) is not None


def _true_length(window: _Window, length: int | None, line: _RecordLine) -> int:
    """Length up to the next record line (its separator left out), or what there is when none follows."""
    match = window.find(line.anywhere, 0, (length or 0) + MAX_RECORD_BYTES)
    if match is None:
        # Nothing to hold on to: believe the length, as far as there are bytes.
        return window.left() if length is None else min(length, window.left())
    found = match.start() - window.pos
    if length is not None and found > length:
        # Too small a length only matters when more than separators follow.
        extra = window.data[window.pos + length : match.start()]
        if not extra.strip(_SPACE):
            return length
    body = window.data[window.pos : match.start()]
    return len(body) - len(body[-4:]) + len(body[-4:].rstrip(b"\r\n"))
