"""Reads a shard around the records that raise, hang or kill the process.

A source is a stream: when reading a record fails, the stream is lost. The shard is then read again, without the rows
that were taken already. The record at which it failed is not decoded this time; if that does not help, because the
record's end cannot be found either, the file ends before it, and one quarantined row says so. Which rows come out
depends on the shard alone, not on what happened on the way.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

import pyarrow as pa

from tamis.base import columns
from tamis.base.errors import DataError
from tamis.base.hashing import fingerprint
from tamis.base.stage import InputShard, Reading

REST_OF_FILE = "rest_of_file"


class NumberedReading(Reading):
    """Remembers which record is being read. The file that has one of the records `ends` ends before it."""

    def __init__(self, unreadable: Mapping[int, str], ends: Collection[int]) -> None:
        self.unreadable, self.ends = dict(unreadable), frozenset(ends)
        self.number = 0
        self.ended: dict[int, tuple[str, int]] = {}
        """Where files were ended: the number of the record -> the file, '' for the only one, and the record's number
        in it."""
        self._file, self._first = "", -1

    def begins(self, name: str) -> None:
        self._file, self._first = name, -1

    def goes_on(self, number: int) -> bool:
        self.number = number
        if self._first < 0:
            self._first = number
        if number in self.ends:
            self.ended[number] = (self._file, number - self._first)
        return number not in self.ends


class ReadingError(Exception):
    """Reading record `number` failed as `text` says; after `tries` such failures the record is to blame."""

    def __init__(self, *, number: int, text: str, tries: int) -> None:
        super().__init__(text)
        self.number, self.text, self.tries = number, text, tries


Attempt = Callable[[NumberedReading, int], Iterator[pa.RecordBatch]]
"""Reads a shard once, without the number of rows given; raises ReadingError."""


def read_guarded(attempt: Attempt, shard: InputShard) -> Iterator[pa.RecordBatch]:
    """All rows of a shard that can be read, those of unreadable records with `error` set, and, where the rest of a
    file cannot be read, a row that says so."""
    unreadable: dict[int, str] = {}
    ends: dict[int, str] = {}
    delivered = 0
    failures = Counter[tuple[int, int]]()
    while True:
        reading = NumberedReading(unreadable, ends)
        try:
            for batch in attempt(reading, delivered):
                delivered += batch.num_rows
                yield batch
            break
        except ReadingError as failure:
            number, kind = failure.number, (failure.number, failure.tries)
            failures[kind] += 1
            if failures[kind] < failure.tries:
                continue
            del failures[kind]
            if number in ends:
                raise DataError(f"{shard.name}: cannot be read up to record {number + 1}: {failure.text}") from None
            if number in unreadable:
                ends[number] = failure.text
                del unreadable[number]
            else:
                unreadable[number] = failure.text
    for number, why in sorted(ends.items()):
        yield _rest(shard, number, reading.ended[number], why)


def without_first(count: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """`batches` without the first `count` rows."""
    for batch in batches:
        if count < batch.num_rows:
            yield batch.slice(count) if count else batch
        count = max(0, count - batch.num_rows)


def _rest(shard: InputShard, number: int, place: tuple[str, int], why: str) -> pa.RecordBatch:
    """The row that stands for all records of a file from record `number` of the shard on."""
    name, in_file = place[0] or shard.name, place[1]
    row = dict.fromkeys(columns.POOL_SCHEMA.names) | {
        columns.ID: fingerprint(REST_OF_FILE, shard.fingerprint, number),
        columns.URL: "",
        columns.ERROR: f"{REST_OF_FILE}: nothing of {name} from record {in_file + 1} on can be read ({why})",
    }
    return pa.RecordBatch.from_pylist([row], schema=columns.POOL_SCHEMA)
