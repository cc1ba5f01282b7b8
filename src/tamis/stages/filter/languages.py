"""Names of languages: the codes that detectors, FineWeb2's tables and users write, brought together.

A code is ISO 639-1 (`de`), ISO 639-3 (`deu`), or either with a script of ISO 15924 (`deu_Latn`); `zh-cn` and `zh-tw`
stand for the scripts Hans and Hant. Where ISO 639 has a macrolanguage (`zh`, `ar`, `no`), the language that most of
what is written under that name is in stands for it (`cmn`, `arb`, `nob`).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tamis.base.errors import ConfigError, did_you_mean

_CODE = re.compile(r"([a-z]{2,3})(?:[_-]([A-Z][a-z]{3}|cn|tw))?")
_REGIONS = {"cn": "Hans", "tw": "Hant"}


@dataclass(frozen=True)
class Language:
    """A language by its code of ISO 639-3, and a script of ISO 15924; '' where the code names none."""

    code: str
    script: str = ""

    def includes(self, other: "Language") -> bool:
        """Whether `other` is this language, in this script if one is named."""
        return self.code == other.code and self.script in ("", other.script)


@cache
def _names() -> tuple[dict[str, str], dict[str, str]]:
    """Codes of ISO 639-1 -> 639-3, and macrolanguages -> the language that stands for them."""
    names = json.loads(files("tamis.stages.filter").joinpath("language_names.json").read_text("utf-8"))
    return names["two_letters"], names["individual"]


@cache
def language_of(code: str) -> Language | None:
    """The language that a code names; None for what is no code of a language."""
    found = _CODE.fullmatch(code)
    if found is None:
        return None
    two_letters, individual = _names()
    name, script = found[1], found[2] or ""
    if len(name) == 2 and name not in two_letters:
        return None
    name = two_letters.get(name, name)
    return Language(individual.get(name, name), _REGIONS.get(script, script))


@cache
def _short_codes() -> dict[str, str]:
    two_letters, individual = _names()
    short = {code: two for two, code in two_letters.items()}
    short |= {code: short[macro] for macro, code in individual.items() if macro in short}
    return short | {code: short[named] for code, named in individual.items() if named in short and code not in short}


def short_code(code: str) -> str:
    """The code of ISO 639-1 for a code of ISO 639-3 where there is one, else the code as it is."""
    return _short_codes().get(code, code)


def chosen_labels(wanted: Sequence[str], labels: Sequence[str], detector: str, setting: str) -> list[str]:
    """Those of a detector's `labels` that the codes `wanted` name, in the order of the codes.

    Raises ConfigError for a code that names none of them, with the nearest one.
    """
    chosen: dict[str, None] = {}
    for number, code in enumerate(wanted):
        language = language_of(code)
        found = [
            label
            for label in labels
            if label == code or (language is not None and (of := language_of(label)) and language.includes(of))
        ]
        if not found:
            raise ConfigError(f"{setting}.{number}: {_unknown(code, language, labels, detector)}")
        chosen |= dict.fromkeys(found)
    return list(chosen)


def _unknown(code: str, language: Language | None, labels: Sequence[str], detector: str) -> str:
    """Why `code` names none of the labels, and what to write instead."""
    if language is not None and language.script:
        plain = [label for label in labels if language_of(label) == Language(language.code)]
        if plain:
            return f"{detector} does not tell the scripts of '{code}' apart; give `{plain[0]}`"
    return (
        f"{detector} knows no language '{code}'{did_you_mean(code, labels)}. Give codes as `en`, `deu` or `deu_Latn`; "
        "`any` keeps every language, [] also detects none"
    )
