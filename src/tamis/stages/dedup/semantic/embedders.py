"""Turns texts into embeddings, by a sentence-transformers model or by a function of the user's.

The fingerprint covers the weights that are used: the files of a folder, the commit of a model on the Hugging Face hub,
or the source of a function. On a CPU texts are embedded one at a time: batches are no faster there, because of padding,
and a text alone always gives the same vector. torch and sentence-transformers are loaded with the first text.
"""

import importlib
import importlib.util
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tamis.base.errors import ConfigError
from tamis.base.plugins import Plugin, find, names_plugin

Embed = Callable[[list[str]], np.ndarray]
"""Texts -> float[n, d], one row per text."""

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
CHARACTERS_PER_TOKEN = 32
"""Texts are cut at this many characters per token before the model's tokenizer cuts them, because it would take seconds
to tokenize a text of 50 MB of which 256 tokens are used."""
DEFAULT_TOKENS = 512
"""Limit of tokens for a model that does not name one."""
DEFAULT_DIMENSIONS = 768
"""Length of the embeddings (BERT's) that is assumed when memory is predicted for a model that is not on this
machine."""
GPU_BATCH = 64

Device = Literal["auto", "cpu", "cuda"]
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """One of: a function of the user's own (`plugin`), a model's folder, or a model on the hub at a `revision`."""

    name: str
    plugin: Plugin | None = None
    revision: str | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of a model on this machine."""
        place = Path(self.name).expanduser()
        return place if self.plugin is None and self.revision is None and place.is_dir() else None

    @property
    def spec(self) -> str:
        """The value of the setting that names exactly this embedder."""
        if self.plugin is not None:
            return self.plugin.spec
        return f"{self.name}@{self.revision}" if self.revision is not None else self.name

    def identity(self) -> list[Any]:
        """What the embeddings depend on, apart from `files`."""
        if self.plugin is not None:
            return self.plugin.identity()
        return [] if self.folder is not None else [self.name, self.revision]

    def files(self) -> dict[str, str]:
        """The files of a model that is a folder on this machine, by their names in it, without documentation; nothing
        for other embedders."""
        folder = self.folder
        if folder is None:
            return {}
        files = sorted(
            path for path in folder.rglob("*") if path.is_file() and path.name[0] != "." and path.suffix != ".md"
        )
        return {path.relative_to(folder).as_posix(): str(path) for path in files}

    def dimensions(self) -> int:
        """Length of the embeddings: found by a call of the function, read from the model's folder, else
        `DEFAULT_DIMENSIONS`."""
        if self.plugin is not None:
            return int(_embedded(self.plugin.load(), ["word"]).shape[1])
        for file, key in (("1_Pooling/config.json", "word_embedding_dimension"), ("config.json", "hidden_size")):
            path = Path(self.name).expanduser() / file
            if path.is_file():
                return int(json.loads(path.read_text(encoding="utf-8")).get(key, DEFAULT_DIMENSIONS))
        return DEFAULT_DIMENSIONS

    def load(self, device: Device, max_tokens: int | None, batch_size: int | None) -> Embed:
        """Load the embedder. Raises ConfigError where it cannot be loaded."""
        if self.plugin is not None:
            function = self.plugin.load()
            return lambda texts: _embedded(function, texts)
        return _sentence_transformer(self, device, max_tokens, batch_size)


def find_embedder(name: str) -> Embedder:
    """The embedder that the setting names. Raises ConfigError when there is no such function or folder, when
    sentence-transformers is not installed, or when the commit of a model on the hub cannot be found out."""
    if names_plugin(name):
        return Embedder(name=name, plugin=find(name, "dedup.embedder"))
    if importlib.util.find_spec("sentence_transformers") is None:
        raise ConfigError(
            f"dedup.embedder: {name} is a sentence-transformers model, and that package is not installed: "
            "pip install 'tamis[semantic]', or name a function of yours as ./file.py:name or package.module:name"
        )
    if Path(name).expanduser().is_dir():
        return Embedder(name=name)
    if name.startswith((".", "/", "~")):
        raise ConfigError(f"dedup.embedder: there is no folder {name}; give a sentence-transformers model's folder")
    model, _, revision = name.partition("@")
    return Embedder(name=model, revision=hub_commit(model, revision or None))


def hub_commit(model: str, revision: str | None) -> str:
    """The commit of a model on the Hugging Face hub: the given one, the one that was downloaded before, or the hub's
    present one.

    Raises ConfigError when the hub cannot be asked.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, errors, try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(model, "config.json", revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name
        return str(HfApi().model_info(model, revision=revision).sha)
    except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
        said = str(error).partition("\n")[0]
        raise ConfigError(
            f"dedup.embedder: cannot find out which weights {model} has: {said}. Check the name and the network; "
            "offline, give the folder of a sentence-transformers model"
        ) from None


def _embedded(function: Callable[..., Any], texts: list[str]) -> np.ndarray:
    """The result of the user's function for `texts`. Raises ConfigError unless it is one row of numbers per text."""
    found = np.asarray(function(texts))
    if found.ndim != 2 or len(found) != len(texts) or found.dtype.kind not in "fiu":
        raise ConfigError(
            f"dedup.embedder: the function must return one row of numbers per text: expected ({len(texts)}, d), "
            f"got shape {found.shape} of {found.dtype}"
        )
    return found


def _sentence_transformer(embedder: Embedder, device: str, max_tokens: int | None, batch_size: int | None) -> Embed:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    # tqdm's default lock is shared between processes, and a worker that exits would leak it.
    importlib.import_module("tqdm").tqdm.set_lock(threading.RLock())
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = embedder.folder
    try:
        model = SentenceTransformer(
            embedder.name if folder is None else str(folder),
            device=device,
            revision=embedder.revision,
            local_files_only=folder is not None,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"dedup.embedder: cannot load {embedder.spec}: {error}. Offline, give the folder of a "
            "sentence-transformers model."
        ) from error
    own = model.max_seq_length or DEFAULT_TOKENS
    model.max_seq_length = min(max_tokens or own, own)
    size = batch_size or (1 if device == "cpu" else GPU_BATCH)
    characters = CHARACTERS_PER_TOKEN * int(model.max_seq_length)

    def embed(texts: list[str]) -> np.ndarray:
        cut = [text[:characters] for text in texts]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # The runner has a worker process for every core.
        try:
            parts = [
                model.encode(cut[start : start + size], batch_size=size, show_progress_bar=False)
                for start in range(0, len(cut), size)
            ]
        finally:
            torch.set_num_threads(threads)
        return np.concatenate(parts)

    return embed
