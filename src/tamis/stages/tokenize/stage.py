"""Text to token ids: the last stage of a recipe, whose output is what a model is trained on.

An encoder (`engines`) is called once per batch: gigatoken, or the library `tokenizers`, which has the last word. The
stage compares them on a sample (`checks`), adds the end-of-text id and makes the arrays. The runner writes the ids to
files (`store.tokens`).
"""

import os
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from tamis.base import columns
from tamis.base.config import Config
from tamis.base.errors import ConfigError, NoRowError, ShardAgainError, failure_text
from tamis.base.recipe import Recipe
from tamis.base.signals import Signal
from tamis.base.stage import REFERENCE_KEY, Map, Stage, StageContext
from tamis.base.tokenizer_file import open_tokenizer
from tamis.stages.tokenize.checks import DIFFICULT, difference, difference_from, sampled_rows
from tamis.stages.tokenize.engines import Encoder, GigatokenEncoder, TokenizersEncoder, UnsuitableError


class TokenizeConfig(Config):
    """Settings of the step `tokenize`."""

    tokenizer: str | None = None
    """Path of a Hugging Face `tokenizers` JSON file, as a published model's `tokenizer.json`; null: a byte-level BPE is
    trained on the documents that reach this stage. Runs that are compared must share one tokenizer."""
    own_vocab_size: int = Field(default=2048, ge=257, le=1 << 20)
    """Number of ids of the tokenizer that is trained where none is named. Default: the vocabulary of the scale
    `nano`."""
    end_of_text: str = "<|endoftext|>"
    """The token that ends every document; GPT-NeoX's, which DCLM uses, by default."""
    engine: Literal["auto", "gigatoken", "tokenizers"] = "auto"
    """Which library encodes: `auto` is gigatoken where its ids are those of `tokenizers`, else `tokenizers`;
    `gigatoken` makes every such case an error. The ids are the same, so this is no part of the fingerprint."""


class Tokenize(Map):
    """Adds `token_ids` (the text's ids and the end-of-text id) and `num_tokens` (their number)."""

    name: ClassVar[str] = "tokenize"
    version: ClassVar[int] = 1
    reads = (columns.TEXT,)
    adds = pa.schema([(columns.TOKEN_IDS, pa.list_(pa.int32())), (columns.NUM_TOKENS, pa.int32())])
    has_reference = True
    signals = (Signal(column=columns.NUM_TOKENS, label="Tokens per document", low=1, high=1e6, log=True),)

    config: TokenizeConfig

    def __init__(self, config: TokenizeConfig, literal_special_tokens: bool) -> None:
        """`literal_special_tokens`: the characters `<|endoftext|>` in a page are tokenized as ordinary text, so that a
        page cannot end its document early. DCLM's tokenizer turns them into the end-of-text id."""
        super().__init__(config)
        if config.tokenizer is None:
            raise ConfigError(
                "tokenize.tokenizer: this setting is required: the path of a Hugging Face `tokenizers` JSON file. Use "
                "the tokenizer.json of a published model, or make one from a finished run's documents: "
                "tamis tokenizer RUN --vocab-size 2048 --output tokenizer.json"
            )
        self.path = config.tokenizer
        self.literal_special_tokens = literal_special_tokens

    def identity(self) -> list[object]:
        # The ids do not depend on the path but on the content of the file, and the runner hashes assets.
        return [self.name, self.version, self.config.end_of_text, self.literal_special_tokens]

    def assets(self) -> dict[str, str]:
        return {"tokenizer": self.path}

    def open(self, context: StageContext) -> None:
        # A task has one core; the library would start a thread per core of the machine in every worker.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        file = context.assets["tokenizer"]
        tokenizer = open_tokenizer(file, "tokenize.tokenizer")
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = self.literal_special_tokens
        eot_id = tokenizer.token_to_id(self.config.end_of_text)
        if eot_id is None:
            raise ConfigError(
                f"tokenize.end_of_text: {self.path} has no token {self.config.end_of_text!r}; name the token that this "
                "tokenizer ends documents with"
            )
        self._eot_id, self._seed = eot_id, context.seed
        self._vocab_size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())
        self._reference = TokenizersEncoder(tokenizer)
        self._fast: GigatokenEncoder | None = None
        self._fallback = ""
        if self.config.engine != "tokenizers":
            self._open_fast(file.read_bytes(), context)

    def _open_fast(self, data: bytes, context: StageContext) -> None:
        """Raises ConfigError where gigatoken is asked for and cannot be used; otherwise notes why."""
        literal = self.literal_special_tokens
        try:
            encoder = GigatokenEncoder(data, self._reference, literal, context.resident_bytes)
            doubt = difference([*DIFFICULT], self._reference, encoder)
            if doubt is not None:
                raise UnsuitableError(doubt)
            self._fast = encoder
        except UnsuitableError as reason:
            if self.config.engine == "gigatoken":
                raise ConfigError(
                    f"tokenize.engine: gigatoken cannot be used with {self.path}: {reason}. Set tokenize.engine to auto"
                ) from None
            self._fallback = f"the library tokenizers does the work, which takes far longer: {reason}"

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Raises ShardAgainError where gigatoken's ids are not the right ones; NoRowError where none but gigatoken is
        allowed."""
        texts = batch.column(columns.TEXT)
        fallback = (batch.schema.metadata or {}).get(REFERENCE_KEY, b"").decode() or self._fallback
        encoder: Encoder = self._reference
        if self._fast is not None and not fallback and not texts.null_count:
            encoder = self._fast
            ids, counts = self._encode_fast(self._fast, texts)
        else:
            ids, counts = self._reference.encode(texts)
        ends = np.cumsum(counts + 1)
        values = np.full(len(ids) + len(counts), self._eot_id, np.int32)
        is_text = np.ones(len(values), bool)
        is_text[ends - 1] = False
        values[is_text] = ids
        offsets = np.zeros(len(counts) + 1, np.int32)
        offsets[1:] = ends
        token_ids = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        batch = batch.append_column(self._field(encoder.label, fallback), token_ids)
        return batch.append_column(columns.NUM_TOKENS, pa.array(np.diff(offsets)))

    def _encode_fast(self, encoder: GigatokenEncoder, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        try:
            ids, counts = encoder.encode(texts)
            rows = sampled_rows(texts, self._seed)
            doubt = difference_from(texts, ids, counts, rows, self._reference, encoder.label)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a library in Rust, whose panics are no Exception
            doubt = f"{encoder.label} fails ({failure_text(error)})"
        if doubt is None:
            return ids, counts
        if self.config.engine == "gigatoken":
            raise NoRowError(f"tokenize.engine: {doubt}. Set tokenize.engine to auto")
        raise ShardAgainError(f"the library tokenizers does this shard again, and any other that is like it: {doubt}")

    def _field(self, engine: str, fallback: str) -> pa.Field:
        """The field of the ids, which tells the writer how wide they are and the runner who made them."""
        told = {b"vocab_size": str(self._vocab_size).encode(), columns.ENGINE_KEY: engine.encode()}
        if fallback:
            told[columns.FALLBACK_KEY] = fallback.encode()
        return self.adds.field(columns.TOKEN_IDS).with_metadata(told)


def build(settings: dict[str, object], recipe: Recipe) -> list[Stage]:
    """The stages of one `tokenize` entry. Raises ConfigError for wrong settings or a missing `tokenizer`."""
    config = TokenizeConfig.parse(settings, "tokenize")
    return [Tokenize(config, literal_special_tokens=recipe.mode == "fixed")]
