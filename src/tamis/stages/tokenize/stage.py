"""Text to token ids: the last stage of a recipe, whose output is what a model is trained on.

The encoder of the library `tokenizers` is called once per batch; the stage adds the end-of-text id and makes the
arrays. The runner writes the ids to files (`store.tokens`).
"""

import os
from itertools import chain
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from tamis.base import columns
from tamis.base.config import Config
from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.base.signals import Signal
from tamis.base.stage import Map, Stage, StageContext
from tamis.base.tokenizer_file import open_tokenizer


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


class Tokenize(Map):
    """Adds `token_ids` (the text's ids and the end-of-text id) and `num_tokens` (their number)."""

    name: ClassVar[str] = "tokenize"
    version: ClassVar[int] = 1
    reads = (columns.TEXT,)
    adds = pa.schema([(columns.TOKEN_IDS, pa.list_(pa.int32())), (columns.NUM_TOKENS, pa.int32())])
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
        self._tokenizer = open_tokenizer(context.assets["tokenizer"], "tokenize.tokenizer")
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = self.literal_special_tokens
        eot_id = self._tokenizer.token_to_id(self.config.end_of_text)
        if eot_id is None:
            raise ConfigError(
                f"tokenize.end_of_text: {self.path} has no token {self.config.end_of_text!r}; name the token that this "
                "tokenizer ends documents with"
            )
        self._eot_id = eot_id
        size = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values())
        self._field = self.adds.field(columns.TOKEN_IDS).with_metadata({b"vocab_size": str(size).encode()})

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = batch.column(columns.TEXT).to_pylist()
        documents = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        lengths = np.fromiter((len(ids) + 1 for ids in documents), np.int32, len(documents))
        offsets = np.zeros(len(documents) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        values = np.full(int(offsets[-1]), self._eot_id, np.int32)
        is_text = np.ones(len(values), bool)
        is_text[offsets[1:] - 1] = False
        values[is_text] = np.fromiter(chain.from_iterable(documents), np.int32, int(is_text.sum()))
        token_ids = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        batch = batch.append_column(self._field, token_ids)
        return batch.append_column(columns.NUM_TOKENS, pa.array(lengths))


def build(settings: dict[str, object], recipe: Recipe) -> list[Stage]:
    """The stages of one `tokenize` entry. Raises ConfigError for wrong settings or a missing `tokenizer`."""
    config = TokenizeConfig.parse(settings, "tokenize")
    return [Tokenize(config, literal_special_tokens=recipe.mode == "fixed")]
