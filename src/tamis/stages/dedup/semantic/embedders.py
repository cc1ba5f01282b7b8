"""What turns texts into embeddings: a sentence-transformers model, or a function of the user's own.

Texts are embedded one by one on a processor: batches are no faster there (padding eats what they gain), and alone a
text gives the same vector whatever stands beside it. torch and sentence-transformers load when the first text comes.
"""

import importlib
import importlib.util
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tamis.base.errors import ConfigError

Embed = Callable[[list[str]], np.ndarray]
"""Texts -> float[n, d], one row per text."""

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
CHARACTERS_PER_TOKEN = 32
"""Texts are cut at this many characters per token before a model's own tokenizer cuts them: tokenizing a text of 50 MB
to use 256 tokens of it would take seconds."""
DEFAULT_TOKENS = 512
"""For a model that names no limit."""
DEFAULT_DIMENSIONS = 768
"""Assumed of a model that is not on this machine, when memory is predicted; BERT's size."""
GPU_BATCH = 64

_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def check_embedder(name: str) -> None:
    """Raises ConfigError where `name` cannot be loaded: no such function, or no sentence-transformers."""
    if _CALLABLE.fullmatch(name):
        _function(name)
    elif importlib.util.find_spec("sentence_transformers") is None:
        raise ConfigError(
            f"dedup.embedder: {name} is a sentence-transformers model, and that package is not installed: "
            "pip install 'tamis[semantic]', or name a function of yours as package.module:function"
        )
    elif name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
        raise ConfigError(f"dedup.embedder: there is no folder {name}; give a sentence-transformers model's folder")


def model_files(name: str) -> dict[str, str]:
    """The files of a model that is a folder on this machine, by their names in there, but for those that are read by
    people; nothing for other embedders."""
    folder = Path(name).expanduser()
    if _CALLABLE.fullmatch(name) or not folder.is_dir():
        return {}
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name[0] != "." and path.suffix != ".md"
    )
    return {path.relative_to(folder).as_posix(): str(path) for path in files}


def dimensions(name: str) -> int:
    """Length of the embeddings: asked of a function, read from a model's folder, else `DEFAULT_DIMENSIONS`."""
    if _CALLABLE.fullmatch(name):
        return int(_embedded(_function(name), ["word"]).shape[1])
    for file, key in (("1_Pooling/config.json", "word_embedding_dimension"), ("config.json", "hidden_size")):
        path = Path(name).expanduser() / file
        if path.is_file():
            return int(json.loads(path.read_text(encoding="utf-8")).get(key, DEFAULT_DIMENSIONS))
    return DEFAULT_DIMENSIONS


def load_embedder(
    name: str, device: Literal["auto", "cpu", "cuda"], max_tokens: int | None, batch_size: int | None
) -> Embed:
    """The embedder `name`, ready to use. Raises ConfigError where it cannot be loaded."""
    check_embedder(name)
    if _CALLABLE.fullmatch(name):
        function = _function(name)
        return lambda texts: _embedded(function, texts)
    return _sentence_transformer(name, device, max_tokens, batch_size)


def _function(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"dedup.embedder: cannot load {name}: {error}") from error
    if not callable(found):
        raise ConfigError(f"dedup.embedder: {name} is not a function")
    return found


def _embedded(function: Callable[..., Any], texts: list[str]) -> np.ndarray:
    """What the user's function says of `texts`. Raises ConfigError for anything but one row of numbers per text."""
    found = np.asarray(function(texts))
    if found.ndim != 2 or len(found) != len(texts) or found.dtype.kind not in "fiu":
        raise ConfigError(
            f"dedup.embedder: the function must return one row of numbers per text: expected ({len(texts)}, d), "
            f"got shape {found.shape} of {found.dtype}"
        )
    return found


def _sentence_transformer(name: str, device: str, max_tokens: int | None, batch_size: int | None) -> Embed:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    # tqdm's own lock spans processes, and a worker that ends would leave it behind.
    importlib.import_module("tqdm").tqdm.set_lock(threading.RLock())
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    local = Path(name).expanduser().is_dir()
    try:
        model = SentenceTransformer(
            str(Path(name).expanduser()) if local else name, device=device, local_files_only=local
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"dedup.embedder: cannot load {name}: {error}. Offline, give the folder of a sentence-transformers model."
        ) from error
    own = model.max_seq_length or DEFAULT_TOKENS
    model.max_seq_length = min(max_tokens or own, own)
    size = batch_size or (1 if device == "cpu" else GPU_BATCH)
    characters = CHARACTERS_PER_TOKEN * int(model.max_seq_length)

    def embed(texts: list[str]) -> np.ndarray:
        cut = [text[:characters] for text in texts]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the runner has a worker process for every core
        try:
            parts = [
                model.encode(cut[start : start + size], batch_size=size, show_progress_bar=False)
                for start in range(0, len(cut), size)
            ]
        finally:
            torch.set_num_threads(threads)
        return np.concatenate(parts)

    return embed
