"""Records of WARC and ARC files, found even where lengths are wrong, separators missing or bytes lost.

The walk believes a record's length as long as the next record follows; where it does not, it looks for the next record
line and cuts or extends the record to there. So a wrong length costs nothing, damage costs the damaged record.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tamis.store.window import MAX_LINE_BYTES, Window

MAX_RECORD_BYTES = 256 << 20
"""A longer record is not held in memory: it is skipped and becomes a quarantined row."""
MAX_HEADER_BYTES = 1 << 20
"""A longer header, of a record or of the HTTP response in it, is not read."""
_MAX_SEPARATOR_BYTES = 16
"""White space that may stand between two records (the standard asks for four bytes). After a length that ends in more,
the record line that comes first decides."""
_LOOK_AHEAD_BYTES = 4096
_MAX_BEFORE_INNER_BYTES = 32 << 20
"""Bytes before a record line in a record over MAX_RECORD_BYTES, up to which the record's end is looked up."""
_NO_LIMIT = 1 << 62

_WARC_LINE = re.compile(rb"WARC/\d\.\d+[ \t]*\r?\n(?=[!-9;-~]+[ \t]*:)")
_ARC_FIELDS = (
    rb"[A-Za-z][A-Za-z0-9+.\-]{1,20}:[^\r\n]* "
    rb"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]{0,39}:[0-9A-Fa-f:]{0,39}|-) \S+ \S+ \S+[ ]?\r?\n"
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
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n|\n(?=WARC/\d\.\d+[ \t]*\r?\n)")
"""An empty line, or the next record, where a header breaks off."""
_NOT_SPACE = re.compile(rb"[^\r\n \t]")
_WARC_SEPARATOR = b"\r\n\r\n"
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


def records(
    chunks: Iterator[bytes | None], notes: Counter[str], wanted: Callable[[str], bool] = lambda kind: True,
    limit: Callable[[], int | None] = lambda: None,
) -> Iterator[RawRecord]:  # fmt: skip
    """Every record of a decoded WARC or ARC file, in order. `wanted` says of which kinds the bodies are needed, `limit`
    at which byte of a part of a file no further record is read, as soon as it is known.

    `notes` counts `skipped_bytes` (belonging to no record), `wrong_record_length` and `lost_parts`. A record with
    fewer bytes than it promised has the problem `truncated_record`, a longer one than MAX_RECORD_BYTES `too_large`.
    """
    window = Window(chunks)
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
            if (last := limit()) is not None and window.offset() >= last:
                return
            number += 1
            record, length = (_arc_header if is_arc else _warc_header)(window, number)
            _take_body(window, record, length, line, wanted(record.kind), notes)
            yield record
        if not window.next_part():
            return
        notes["lost_parts"] += 1


def _is_arc(window: Window) -> bool:
    window.have(MAX_LINE_BYTES)
    warc, arc = (pattern.search(window.data, window.pos) for pattern in (_WARC.anywhere, _ARC.anywhere))
    return arc is not None and (warc is None or arc.start() < warc.start())


def _skip_space(window: Window) -> bool:
    """To the next byte that is not white space; False at the end of the part. Loads a whole record line."""
    while window.have(1):
        found = _NOT_SPACE.search(window.data, window.pos)
        window.pos = found.start() if found else len(window.data)
        if found:
            if window.left() < 256:
                window.have(MAX_LINE_BYTES)
            return True
    return False


def _resynchronise(window: Window, line: _RecordLine, notes: Counter[str]) -> bool:
    """Skip what belongs to no record; False when no further record line follows in this part."""
    while True:
        complete = not window.have(2 * MAX_LINE_BYTES)
        match = line.anywhere.search(window.data, window.pos)
        if match:
            notes["skipped_bytes"] += match.start() - window.pos
            window.pos = match.start()
            return True
        step = window.left() if complete else window.left() - MAX_LINE_BYTES
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
    folded: dict[str, list[str]] = {}
    last = ""
    for line in decode_header(raw).split("\n"):
        if line[:1] in (" ", "\t") and last:
            folded.setdefault(last, [fields[last]]).append(line.strip())
            continue
        name, colon, value = line.partition(":")
        if colon and (last := name.strip()):
            fields[last] = value.strip()
            folded.pop(last, None)
    for name, parts in folded.items():
        fields[name] = " ".join(filter(None, parts))
    return fields


def _warc_header(window: Window, number: int) -> tuple[RawRecord, int | None]:
    """Reads the header at the position; returns the record without body and its length (None: not told)."""
    end = window.find(_END_OF_HEADER, MAX_HEADER_BYTES)
    stop = end.end() if end else len(window.data)
    raw = window.data[window.pos : min(stop, window.pos + MAX_HEADER_BYTES)]
    problem = ""
    if end is None and not window.part_ended:
        # What is loaded may hold other records: only the record line is known to belong to this one.
        problem = f"too_large: the record's header is longer than {MAX_HEADER_BYTES} bytes"
        stop = window.data.index(b"\n", window.pos) + 1
    elif end is None:
        problem = "truncated_record: the file ends inside the record's header"
    elif end.group() == b"\n":
        problem = "truncated_record: the next record begins inside the record's header"
    window.pos = stop
    fields = parse_fields(raw.partition(b"\n")[2])
    record = RawRecord(number, "", fields, _NO_BODY, problem)
    record.kind = record.header("WARC-Type").lower() or "no_type"
    return record, _length(record.header("Content-Length"))


def _arc_header(window: Window, number: int) -> tuple[RawRecord, int | None]:
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
    window: Window, record: RawRecord, promised: int | None, line: _RecordLine, wanted: bool, notes: Counter[str]
) -> None:
    """Move past the body, into `record.body` when wanted; repair a length that leads to no record."""
    if record.problem:
        return
    length = promised
    if length is None or length > MAX_RECORD_BYTES or not _record_follows(window, length, line):
        length = _true_length(window, promised, line)
        if length is None:
            size = f"is {promised} bytes long" if promised else "has no length, and no other record follows"
            record.problem = f"too_large: the record {size}; {MAX_RECORD_BYTES} bytes are read"
            _skip_body(window, _NO_LIMIT if promised is None else promised, line)
            return
        if promised is not None and length == window.left() < promised:
            record.problem = f"truncated_record: {length} of {promised} bytes"
        elif length != promised:
            notes["wrong_record_length"] += 1
    if wanted:
        record.body = memoryview(window.data)[window.pos : window.pos + length]
    window.pos += length


def _record_follows(window: Window, length: int, line: _RecordLine) -> bool:
    """Whether `length` bytes are there with a record line, or nothing more, after them."""
    if not window.have(length):
        return False
    window.have(length + _LOOK_AHEAD_BYTES)
    start = window.pos + length
    found = _NOT_SPACE.search(window.data, start, start + _MAX_SEPARATOR_BYTES + 1)
    if found is None:
        return len(window.data) - start <= _MAX_SEPARATOR_BYTES
    if not line.here.match(window.data, found.start()):
        return False
    # A record may hold a WARC file. A wrong length that happens to end near a later record is told from that by what
    # stands between: the length of a good record ends before the separator, not before or behind a part of it.
    exact = line is not _WARC or window.data[start : found.start()] == _WARC_SEPARATOR
    return exact or line.anywhere.search(window.data, window.pos, start) is None


def _true_length(window: Window, length: int | None, line: _RecordLine) -> int | None:
    """Length up to the next record line (its separator left out), or what there is when none follows; None when the
    record is too large to hold."""
    match = window.find(line.anywhere, MAX_RECORD_BYTES)
    if match is None:
        # Nothing to hold on to: believe the length, as far as there are bytes.
        if window.part_ended or (length is not None and length <= MAX_RECORD_BYTES):
            return window.left() if length is None else min(length, window.left())
        return None
    found = match.start() - window.pos
    if found > MAX_RECORD_BYTES and (length is None or length > MAX_RECORD_BYTES):
        return None
    if length is not None and length > MAX_RECORD_BYTES and _ends_after(window, found, length, line):
        return None
    if length is not None and length < found:
        # Too small a length only matters when more than separators follow. After the separator of a WARC file, it is
        # the next record that is damaged.
        end = window.pos + length
        ends_there = line is _WARC and window.data.startswith(_WARC_SEPARATOR, end)
        if ends_there or not _NOT_SPACE.search(window.data, end, match.start()):
            return length
    body = window.data[match.start() - 4 : match.start()] if found >= 4 else window.data[window.pos : match.start()]
    return found - len(body) + len(body.rstrip(b"\r\n"))


def _ends_after(window: Window, found: int, length: int, line: _RecordLine) -> bool:
    """Whether `length` is right although a record line stands `found` bytes into it: a record that holds a WARC file.
    It is looked up only where that takes little more memory than a record may; elsewhere the record line decides."""
    if found > _MAX_BEFORE_INNER_BYTES or length - found > MAX_RECORD_BYTES:
        return False
    return _record_follows(window, length, line)


def _skip_body(window: Window, length: int, line: _RecordLine) -> None:
    """Move past `length` bytes that are too many to hold, but not past a record line that shows the length wrong."""
    while length > 0 and window.have(1):
        window.have(2 * MAX_LINE_BYTES)
        match = line.anywhere.search(window.data, window.pos)
        found = match.start() - window.pos if match else length
        if found < length:
            whole = _ends_after(window, found, length, line)
            window.pos += length if whole else found
            return
        step = min(length, window.left() if window.part_ended else window.left() - MAX_LINE_BYTES)
        window.pos += step
        length -= step
