"""HTML to text, by default with resiliparse's main-content extraction, as DCLM chose (paper, section 4.2)."""

import re
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from tamis.base import columns
from tamis.base.config import Config
from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.stage import Map, StageContext
from tamis.stages.extract.encoding import decode_html
from tamis.stages.extract.engines import (
    ExtractionEngine,
    OwnEngine,
    check_engine,
    engine_for,
    engine_versions,
    find_engine,
)
from tamis.stages.extract.page_limits import excess_work, nesting_depth

CHARSET = "charset"
CHARSET_SOURCE = "charset_source"


class ExtractConfig(Config):
    """How a page becomes text."""

    engine: str = "resiliparse"
    """`resiliparse`, `tamis`, `plain`, `trafilatura`, `justext`, or a function of yours that takes HTML and returns
    text, as `./file.py:name` or `package.module:name`. Paper mode takes `resiliparse` only."""
    main_content: bool = True
    """Leave out navigation, footers and the like; False: all visible text."""
    markdown: bool = False
    """Headings, lists, tables and code blocks written as Markdown, by engines that can."""
    plain_spaces: bool = True
    """No-break spaces become plain ones: HTML uses them for layout, and word counts split on plain white space only.
    Not in paper mode."""
    max_html_bytes: int = Field(default=16 << 20, ge=1)
    """Larger pages are quarantined (`too_large`)."""
    max_nesting_depth: int = Field(default=2048, ge=16)
    """Pages whose elements nest deeper are quarantined (`too_deep`)."""


class Extract(Map):
    """Fills `text` in rows that have `content`. Rows that came with a text are not changed."""

    name = "extract"
    version = 4
    reads = (columns.CONTENT, columns.CONTENT_TYPE, columns.TEXT)
    adds = pa.schema([(CHARSET, pa.string()), (CHARSET_SOURCE, pa.string())])
    drops = (columns.CONTENT, columns.CONTENT_TYPE)
    keeps_output = True
    kernels = ("pages",)

    def __init__(self, config: ExtractConfig, paper: bool = False) -> None:
        super().__init__(config)
        self.settings = config
        self.paper = paper
        self.own_engine = find_engine(config.engine)
        if self.own_engine is None:
            check_engine(config.engine, config.main_content, config.markdown)
        elif config.markdown or not config.main_content:
            setting = "markdown" if config.markdown else "main_content"
            raise ConfigError(f"extract.{setting}: an engine of your own gets the page alone; remove this setting")

    def resolved_settings(self) -> dict[str, Any]:
        settings = super().resolved_settings()
        return settings if self.own_engine is None else settings | {"engine": self.own_engine.spec}

    def identity(self) -> list[Any]:
        if self.own_engine is None:
            name, decides = self.settings.engine, engine_versions(self.settings.engine)
        else:
            name, decides = "", self.own_engine.identity()
        settings = self.settings.model_dump(mode="json") | {"engine": name}
        # Resiliparse detects undeclared encodings, whichever engine extracts.
        return [self.name, self.version, settings, self.paper, version("resiliparse"), decides]

    def open(self, context: StageContext) -> None:
        settings = self.settings
        self._engine: ExtractionEngine
        if self.own_engine is not None:
            self._engine = OwnEngine(self.own_engine)
        else:
            self._engine = engine_for(settings.engine, settings.main_content, settings.markdown)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows with `text`, `charset` and `charset_source`, and with `drop_reason` or `error` where there is
        no text. The columns `content` and `content_type` are dropped."""
        texts = batch.column(columns.TEXT).to_pylist()
        types = batch.column(columns.CONTENT_TYPE).to_pylist()
        out: dict[str, list[str | None]] = {
            name: [None] * batch.num_rows for name in (CHARSET, CHARSET_SOURCE, columns.DROP_REASON, columns.ERROR)
        }
        for i, html in enumerate(_views(batch.column(columns.CONTENT))):
            if html is None:
                continue
            try:
                page = self._page(html, types[i] or "")
            except Exception as error:  # noqa: BLE001 - one hostile page is one quarantined row
                page = {columns.ERROR: f"extraction_failed: {type(error).__name__}: {error}"[:500]}
            texts[i] = page.pop(columns.TEXT, None)
            for name, value in page.items():
                out[name][i] = value
        return _with_columns(batch.drop_columns(list(self.drops)), {columns.TEXT: texts, **out})

    def _page(self, html: memoryview, content_type: str) -> dict[str, str]:
        """The columns of one page that are not null."""
        if len(html) > self.settings.max_html_bytes:
            return {columns.ERROR: f"too_large: {len(html)} bytes of HTML, max_html_bytes is "
                                   f"{self.settings.max_html_bytes}"}  # fmt: skip
        if nesting_depth(html, self.settings.max_nesting_depth) > self.settings.max_nesting_depth:
            return {columns.ERROR: f"too_deep: elements nest deeper than {self.settings.max_nesting_depth}"}
        if work := excess_work(html):
            return {columns.ERROR: f"too_complex: {work}"}
        if self.paper:
            try:
                text = str(html, "utf-8")
            except UnicodeDecodeError:
                return {columns.DROP_REASON: "not_utf8"}
            return {columns.TEXT: self._engine.extract(text), CHARSET: "utf-8", CHARSET_SOURCE: "utf8"}
        decoded = decode_html(html, content_type)
        plain = _is_plain_text(content_type, html)
        text = decoded.text if plain else self._engine.extract(decoded.text)
        if self.settings.plain_spaces:
            text = text.replace("\u00a0", " ")
        page = {columns.TEXT: text, CHARSET: decoded.charset, CHARSET_SOURCE: decoded.source}
        return page | {columns.DROP_REASON: "no_text"} if not text or text.isspace() else page


def _views(column: pa.Array) -> list[memoryview | None]:
    """The values of a binary column, without copying them; None where null."""
    # A batch from a stored shard has 32-bit offsets.
    column = column.cast(pa.large_binary())
    _, offsets, data = column.buffers()
    view = memoryview(data or b"").cast("B")
    bounds = np.frombuffer(offsets, np.int64)[column.offset :][: len(column) + 1].tolist()
    valid = column.is_valid().to_pylist()
    return [view[a:b] if ok else None for a, b, ok in zip(bounds, bounds[1:], valid, strict=False)]


_TAG = re.compile(rb"<(?:!doctype|html|head|body|div|p|a)\b", re.IGNORECASE)


def _is_plain_text(content_type: str, body: memoryview) -> bool:
    return content_type.strip().lower().startswith("text/plain") and _TAG.search(body[:1024]) is None


def _with_columns(batch: pa.RecordBatch, values: dict[str, list[str | None]]) -> pa.RecordBatch:
    """`batch` with string columns replaced or appended."""
    arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    arrays |= {name: pa.array(column, pa.string()) for name, column in values.items()}
    return pa.record_batch(list(arrays.values()), names=list(arrays))


def build(settings: dict[str, Any], recipe: Recipe) -> list[Extract]:
    """The extraction stage of a recipe.

    Raises ConfigError when the engine does not support the settings or is not installed, and in paper mode when it is
    not DCLM's.
    """
    config = ExtractConfig.parse(settings, "extract")
    paper = recipe.mode == "paper"
    if paper and config.engine != "resiliparse":
        raise ConfigError(
            f"extract.engine: paper mode reproduces DCLM, which extracts with 'resiliparse' (got {config.engine!r}). "
            "Leave extract.engine out, or use mode: fixed."
        )
    return [Extract(config, paper=paper)]
