"""The pool: files of crawled pages or of texts become rows; hold-out, status and kind of content are decided here."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa
from pydantic import Field

from tamis.base.config import Config
from tamis.base.errors import ConfigError, FormatError
from tamis.base.hashing import fingerprint
from tamis.base.recipe import Recipe
from tamis.base.stage import InputShard, Reading, Source
from tamis.stages.pool import common_crawl, looking, readers, repositories, splitting
from tamis.stages.pool.holdout import is_held_out
from tamis.stages.pool.mime import is_page
from tamis.stages.pool.rows import Batcher, Row
from tamis.stages.pool.shards import PoolShard, check_unchanged, files_of, grouped
from tamis.store.fields import FieldNames
from tamis.store.paths import Exclusion, expand, open_input, skipped_files


class PoolConfig(Config):
    """Which pages the run reads. Either `inputs` or `crawl` names them; where both are given, `inputs` is used."""

    inputs: list[str] = Field(default_factory=list)
    """Files, folders, globs or URIs (s3://, gs://, https://, hf://) of WARC, WET, ARC, JSONL or Parquet files."""
    exclude: list[str] = Field(default_factory=list)
    """Inputs to leave out: file names, patterns or folders, as `*/README.jsonl` or `drafts/`."""
    text_column: str | None = Field(default=None, min_length=1)
    """The field of JSONL records, or the column of Parquet files, that holds the text; `text` where it is not set. A
    nested one is named with dots: `document.body`."""
    url_column: str | None = Field(default=None, min_length=1)
    """The field that holds the URL; where it is not set, `url`, or in `metadata`, `WARC-Target-URI` or `url`."""
    id_column: str | None = Field(default=None, min_length=1)
    """The field that holds the input's own id, which goes to the column `source_id`; `id` where it is not set."""
    crawl: str | None = Field(default=None, pattern=r"^CC-MAIN-[0-9A-Za-z-]+$")
    """Id of a Common Crawl crawl, as CC-MAIN-2022-49: the first `pages` pages of its first WARC file are fetched."""
    base_url: str = common_crawl.BASE_URL
    """The address of Common Crawl's files, or of a mirror."""
    pages: int | None = Field(default=None, ge=1)
    """Take only this many documents, the first of the whole pool in the order of its files."""
    max_shards: int | None = Field(default=None, ge=1)
    """Take only this many files, the first ones."""
    holdout_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of hosts (or URLs) held out for evaluation, by hash."""
    holdout_by: Literal["host", "url"] = "host"
    part: Literal["train", "heldout"] = "train"
    """Which side of the hold-out this run uses; documents of the other side are removed."""
    split_bytes: int = Field(default=32 << 20, ge=1 << 20)
    """Files of more bytes are read in parts of about as many, by several workers, where their format allows it."""
    http_status: Literal["ok", "any"] = "ok"
    """`ok`: remove responses whose status is not 2xx. Not applied in paper mode: DCLM has no such filter."""
    repository_files: int | None = Field(default=None, ge=1)
    """Cut JSONL and Parquet records with a list `files` (repositories) into rows of at most this many files; 1 = one
    row per file; null = one row per record."""
    verify_digests: bool = False
    """Compare every record with its WARC-Block-Digest; mismatches are counted (`bad_digest`), not removed."""


class Pool(Source):
    """Streams batches of columns.POOL_SCHEMA out of files."""

    name = "pool"
    version = 4

    def __init__(self, config: PoolConfig, paper: bool = False) -> None:
        super().__init__(config)
        self.settings = config
        self.paper = paper
        self.names = FieldNames(text=config.text_column or "", url=config.url_column or "", id=config.id_column or "")
        self._notes: Counter[str] = Counter()
        self._remarks: list[str] = []

    def card_settings(self) -> dict[str, Any]:
        """Without the inputs as they were typed and divided; the card's parents are the contents of the files."""
        return {
            name: value
            for name, value in super().card_settings().items()
            if name not in ("inputs", "exclude", "split_bytes")
        }

    def identity(self) -> list[Any]:
        """The settings that decide what is done with a record. Which records there are is part of the shards'
        fingerprints."""
        chosen = {"holdout_fraction", "holdout_by", "part", "http_status", "verify_digests", "repository_files"}
        chosen |= {"text_column", "url_column", "id_column"}
        return [self.name, self.version, self.settings.model_dump(mode="json", include=chosen), self.paper]

    def shards(self) -> Sequence[InputShard]:
        """The files of the pool, in order, very many small ones in groups. Raises ConfigError when an input does not
        exist, DataError when there is nothing to read or Common Crawl cannot be reached."""
        config = self.settings
        if config.crawl and not config.inputs:
            pages = cast(int, config.pages)
            file = common_crawl.first_file(config.base_url, config.crawl)
            mark = fingerprint(file.url, file.etag, file.size_bytes, pages)
            return [PoolShard(
                name=file.name, uri=file.url, size_bytes=file.size_bytes, fingerprint=mark, max_documents=pages,
            )]  # fmt: skip
        exclusion = Exclusion(config.exclude)
        shards = [
            PoolShard(
                name=file.name, uri=file.uri, size_bytes=file.size_bytes, fingerprint=file.fingerprint,
                mark=file.fingerprint,
            )
            for file in expand(config.inputs, exclusion)[: config.max_shards]
        ]  # fmt: skip
        repositories = config.repository_files is not None
        self._remarks = [f"'{text}' of pool.exclude matches no file" for text in sorted(exclusion.unused)]
        self._remarks += looking.look_over(shards, self._opener, self.names, repositories)
        if config.pages is not None:
            return grouped(list(self._first(shards, config.pages)))
        found, remarks = splitting.split_large(grouped(shards), self._opener, config.split_bytes)
        self._remarks += remarks
        return found

    def uris(self, shard: InputShard) -> list[str]:
        return [file.uri for file in files_of(shard)]

    def holds_pages(self, shard: InputShard) -> bool:
        return any(readers.is_named_as_pages(uri) for uri in self.uris(shard))

    def skipped_files(self) -> dict[str, list[str]]:
        return skipped_files(self.settings.inputs, Exclusion(self.settings.exclude))

    def remarks(self) -> list[str]:
        return self._remarks

    def _first(self, shards: list[PoolShard], pages: int) -> Iterator[PoolShard]:
        """The shards that hold the first `pages` documents; the last of them is read only in part."""
        for shard in shards:
            count = self._count(shard, pages + 1)
            if count <= pages:
                yield shard
            else:
                mark = fingerprint(shard.fingerprint, pages)
                yield dataclasses.replace(shard, max_documents=pages, fingerprint=mark)
            pages -= count
            if pages <= 0:
                return

    def _count(self, shard: InputShard, limit: int) -> int:
        """How many documents a file has, counted up to `limit`. A file that cannot be read is one row."""
        opener = self._opener(shard)
        try:
            part = shard.part if isinstance(shard, PoolShard) else None
            return readers.count_documents(shard.uri, readers.kind_of(shard.uri, opener), opener, limit, part)
        except FormatError:
            return 1

    def read(self, shard: InputShard, reading: Reading = Reading()) -> Iterator[pa.RecordBatch]:  # noqa: B008
        """Stream one file, or a group of them, in batches of at most 512 rows and 8 MB, or of one larger row. A record
        that cannot be read has `error` set; a file of which nothing can be read is one such row. Raises DataError when
        a file changed since the run was planned."""
        return self._read(shard, self._opener, reading)

    def _read(
        self, shard: InputShard, opener: Callable[[InputShard], readers.Opener], reading: Reading
    ) -> Iterator[pa.RecordBatch]:
        batcher, notes, files, number = Batcher(), Counter[str](), files_of(shard), 0
        for file in files:
            self._notes = Counter()
            if len(files) > 1:
                reading.begins(file.name)
            first = number
            unreadable = {record - first: why for record, why in reading.unreadable.items()}
            records = self._rows(file, opener(file), unreadable)
            while number - first != file.max_documents:
                if not reading.goes_on(number):
                    number += 1
                    break
                record = next(records, None)
                if record is None:
                    break
                number += 1
                if record.error is not None and (len(files) > 1 or file.part is not None):
                    record.error += f"{'' if ':' in record.error else ':'} (in {file.name})"
                for row in self._parts(record):
                    yield from batcher.add(row)
            check_unchanged(file)
            notes += self._notes
        self._notes = notes
        yield from batcher.flush()

    def notes(self) -> dict[str, int]:
        """Numbers of records in the last `read` that are not documents, by type, and numbers of repaired records."""
        return {name: count for name, count in sorted(self._notes.items()) if count}

    def _opener(self, shard: InputShard) -> readers.Opener:
        if self.settings.crawl and not self.settings.inputs:
            return cast("readers.Opener", partial(common_crawl.open_file, shard.uri, shard.size_bytes))
        return partial(open_input, shard.uri)

    def sample(self, shard: InputShard, most: int) -> tuple[list[pa.RecordBatch], float]:
        """The share is computed from the position in the file; for Parquet, which is not read in order, from the number
        of rows; for a group from the sizes of the files that were begun."""
        files: list[BinaryIO] = []
        begun: list[InputShard] = []
        opener = self._opener(shard)

        def watched(file: InputShard) -> readers.Opener:
            begun.append(file)

            def watched_file() -> BinaryIO:
                files.append(self._opener(file)())
                return files[-1]

            return watched_file

        batches: list[pa.RecordBatch] = []
        for batch in self._read(shard, watched, Reading()):
            batches.append(batch)
            count = sum(part.num_rows for part in batches)
            if count >= most:
                if len(files_of(shard)) > 1:
                    return batches, sum(file.size_bytes for file in begun) / max(1, shard.size_bytes)
                if self._is_parquet(shard, opener):
                    return batches, min(1.0, count / max(1, self._count(shard, 1 << 62)))
                if files[-1].closed:  # it was read to its end
                    return batches, 1.0
                start = shard.part.start if isinstance(shard, PoolShard) and shard.part is not None else 0
                return batches, min(1.0, max(1, files[-1].tell() - start) / max(1, shard.size_bytes))
        return batches, 1.0

    @staticmethod
    def _is_parquet(shard: InputShard, opener: readers.Opener) -> bool:
        try:
            return readers.kind_of(shard.uri, opener) == "parquet"
        except FormatError:
            return False

    def _rows(self, shard: PoolShard, opener: readers.Opener, unreadable: Mapping[int, str]) -> Iterator[Row]:
        """The rows of a file, one at least unless it is empty or holds only records that are no documents."""
        count = 0
        try:
            for row in self._records(shard, opener, unreadable):
                count += 1
                yield row
        except FormatError as error:
            yield readers.unreadable_file(shard.name, str(error))
            return
        if count == 0 and shard.part is None:
            yield from readers.nothing_read(shard.name, opener, self._notes)

    def _records(self, shard: PoolShard, opener: readers.Opener, unreadable: Mapping[int, str]) -> Iterator[Row]:
        kind, part = readers.kind_of(shard.uri, opener), shard.part
        if kind == "warc":
            for row, status in readers.read_warc(opener, self._notes, self.settings.verify_digests, unreadable, part):
                self._decide(row, status)
                yield row
            return
        name = shard.file_name or shard.name
        for row in readers.read_texts(name, kind, opener, self._notes, unreadable, self.names, part):
            if self.settings.repository_files is not None:
                repositories.accept(row)
            self._decide(row, 0)
            yield row

    def _parts(self, record: Row) -> Iterator[Row]:
        """The rows of one record. The hold-out is decided on the record, so that all its rows are on the same side."""
        most = self.settings.repository_files
        return iter((record,)) if most is None else repositories.parts(record, most)

    def _decide(self, row: Row, status: int) -> None:
        """Write `drop_reason`. The hold-out is decided first, so that no decision on a held-out page depends on its
        content."""
        if row.error is not None:
            return
        config = self.settings
        if config.holdout_fraction > 0:
            held_out = is_held_out(row.url, row.id, config.holdout_fraction, config.holdout_by)
            if held_out != (config.part == "heldout"):
                row.drop_reason = "held_out" if held_out else "not_held_out"
        if row.drop_reason is None and row.content is not None and not self.paper:
            if config.http_status == "ok" and status and not 200 <= status < 300:
                row.drop_reason = "http_error"
            elif not is_page(row.content_type or "", row.content):
                row.drop_reason = "not_html"
        if row.drop_reason is not None:
            # A removed page needs no body, because no later step reads it.
            row.content = None


def build(settings: dict[str, Any], recipe: Recipe) -> Pool:
    """The pool of a recipe. Raises ConfigError when the settings contradict each other."""
    config = PoolConfig.parse(settings, "pool")
    if not config.inputs and config.crawl is None:
        raise ConfigError(
            "pool.inputs: nothing to read. Name files in the recipe or with --pool FILES, or set pool.crawl to a "
            "Common Crawl id such as CC-MAIN-2022-49 together with pool.pages."
        )
    if config.crawl and not config.inputs and config.pages is None:
        raise ConfigError("pool.pages: needed with pool.crawl (a crawl has billions of pages). Set it, say to 1000.")
    if config.part == "heldout" and config.holdout_fraction == 0:
        raise ConfigError("pool.part: 'heldout' needs pool.holdout_fraction above 0: otherwise no page is held out.")
    return Pool(config, paper=recipe.mode == "paper")
