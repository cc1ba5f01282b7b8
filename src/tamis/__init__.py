"""Tamis: curate a web crawl, train a fixed model on what is left, and compare the result with an interval.

`import tamis` offers the steps of curation for texts, tables, data frames and streams, and opens finished runs as data.
Each function is loaded, with the libraries that it needs, when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.api.call import QuarantineWarning as QuarantineWarning
    from tamis.api.duplicates import exact_duplicates as exact_duplicates
    from tamis.api.duplicates import near_duplicates as near_duplicates
    from tamis.api.duplicates import substring_duplicates as substring_duplicates
    from tamis.api.runs import Run as Run
    from tamis.api.runs import open_run as open_run
    from tamis.api.texts import detect_language as detect_language
    from tamis.api.texts import extract as extract
    from tamis.api.texts import filter as filter
    from tamis.api.texts import mask as mask
    from tamis.api.texts import score as score
    from tamis.api.texts import signals as signals
    from tamis.api.texts import tokenize as tokenize
    from tamis.base.errors import ConfigError as ConfigError
    from tamis.base.errors import DataError as DataError
    from tamis.base.errors import TamisError as TamisError

__version__ = "0.1.0"

_PLACES = {
    "QuarantineWarning": "api.call",
    "near_duplicates": "api.duplicates", "exact_duplicates": "api.duplicates", "substring_duplicates": "api.duplicates",
    "Run": "api.runs", "open_run": "api.runs",
    "extract": "api.texts", "filter": "api.texts", "mask": "api.texts", "detect_language": "api.texts",
    "signals": "api.texts", "score": "api.texts", "tokenize": "api.texts",
    "ConfigError": "base.errors", "DataError": "base.errors", "TamisError": "base.errors",
}  # fmt: skip
"""Name -> the module that it is loaded from."""

__all__ = [
    "ConfigError",
    "DataError",
    "QuarantineWarning",
    "Run",
    "TamisError",
    "__version__",
    "detect_language",
    "exact_duplicates",
    "extract",
    "filter",
    "mask",
    "near_duplicates",
    "open_run",
    "score",
    "signals",
    "substring_duplicates",
    "tokenize",
]


if not TYPE_CHECKING:  # a type checker knows the names above, and no others

    def __getattr__(name: str) -> Any:
        if name not in _PLACES:
            raise AttributeError(f"module 'tamis' has no attribute {name!r}")
        value = getattr(importlib.import_module(f"tamis.{_PLACES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
