"""Tokenizer files of the library `tokenizers`: checked before the library reads them, with one set of error messages.

The library accepts negative ids and ids beyond any embedding, and raises errors of no class of its own for the rest.
"""

import json
from typing import TYPE_CHECKING, Any

from tamis.base.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from tamis.base.stage import Asset

MOST_IDS = 1 << 24
"""Ids are smaller than this: a model has a row for each. Published vocabularies have up to 262,144."""


def count_ids(data: bytes | str, where: str) -> int:
    """One more than the largest id in a tokenizer file; `where` begins messages, as in `tokenize.tokenizer: FILE`.

    Raises ConfigError for a file of another kind, or with ids that no model can have.
    """
    try:
        found = json.loads(data)
        vocabulary = found["model"]["vocab"]
        if not isinstance(vocabulary, dict | list):
            raise TypeError("no vocabulary")
        ids: list[Any] = [*(vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary)))]
        ids += [token["id"] for token in found.get("added_tokens") or []]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(
            f"{where} is not a Hugging Face `tokenizers` JSON file (the tokenizer.json of a model)"
        ) from None
    for wrong in (one for one in ids if type(one) is not int or not 0 <= one < MOST_IDS):
        raise ConfigError(f"{where} has the token id {wrong!r:.40}; ids are whole numbers from 0 to {MOST_IDS - 1:,}")
    return 1 + max(ids, default=-1)


def open_tokenizer(file: "Asset", setting: str) -> "Tokenizer":
    """The tokenizer in a file, which the user named as `setting`. Raises ConfigError as `count_ids`, and for what the
    library does not accept."""
    from tokenizers import Tokenizer

    where, data = f"{setting}: {file}", file.read_bytes()
    count_ids(data, where)
    try:
        return Tokenizer.from_str(data.decode("utf-8-sig"))
    except Exception as error:  # noqa: BLE001 - the library raises plain Exception
        raise ConfigError(f"{where} cannot be used by the library `tokenizers`: {error!s:.200}") from None
