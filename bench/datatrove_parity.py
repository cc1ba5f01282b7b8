"""Measures how often the tables of the filter stage agree with datatrove's filters, rule by rule and table by table.

    python bench/datatrove_parity.py --golden web-dev.rules.jsonl.zst [more ...] [--show 3]

Every rule of datatrove is applied separately (with all others switched off) and compared with ours on the same text:
Gopher's on the page, FineWeb's on the output of datatrove's C4 filter. Then whole tables are compared: whether
datatrove's filters and the stage keep or remove a page, and whether the texts that both keep are equal. Prints a line
for each and, last, one JSON line.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from parity import read_golden
from peers import NO_DATATROVE, datatrove_filters, has_datatrove

from tamis.base.recipe import Recipe
from tamis.base.stage import StageContext
from tamis.stages.filter.published import TABLES
from tamis.stages.filter.stage import build

Answers = tuple[list[str | None], list[str]]
"""Per page: why it is removed (None: kept), and its text after the edits."""
REPETITION_OFF: dict[str, Any] = {
    "dup_line_frac": None, "dup_para_frac": None, "dup_line_char_frac": None, "dup_para_char_frac": None,
    "top_n_grams": (), "dup_n_grams": (),
}  # fmt: skip
REPETITION = {
    "max_duplicate_line_fraction": {"dup_line_frac": 0.3},
    "max_duplicate_paragraph_fraction": {"dup_para_frac": 0.3},
    "max_duplicate_line_character_fraction": {"dup_line_char_frac": 0.2},
    "max_duplicate_paragraph_character_fraction": {"dup_para_char_frac": 0.2},
    "max_top_2gram_fraction": {"top_n_grams": ((2, 0.2),)},
    "max_top_3gram_fraction": {"top_n_grams": ((3, 0.18),)},
    "max_top_4gram_fraction": {"top_n_grams": ((4, 0.16),)},
    **{f"max_duplicate_{n}gram_fraction": {"dup_n_grams": ((n, round(0.2 - n / 100, 2)),)} for n in range(5, 11)},
}
QUALITY_OFF: dict[str, Any] = dict.fromkeys(
    ("min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length", "max_symbol_word_ratio",
     "max_bullet_lines_ratio", "max_ellipsis_lines_ratio", "max_non_alpha_words_ratio", "min_stop_words")
)  # fmt: skip
QUALITY = {
    "min_words": {"min_doc_words": 50},
    "max_words": {"max_doc_words": 100_000},
    "min_mean_word_length": {"min_avg_word_length": 3},
    "max_mean_word_length": {"max_avg_word_length": 10},
    "max_symbols_per_word": {"max_symbol_word_ratio": 0.1},
    "max_bullet_line_fraction": {"max_bullet_lines_ratio": 0.9},
    "max_ellipsis_line_fraction": {"max_ellipsis_lines_ratio": 0.3},
    "max_words_without_letter_fraction": {"max_non_alpha_words_ratio": 0.8},
    "min_stop_words": {"min_stop_words": 2},
}
FINEWEB_OFF = {"line_punct_thr": -1, "short_line_thr": 2, "char_duplicates_ratio": 2, "new_line_ratio": float("inf")}
FINEWEB = {
    "min_punctuated_line_fraction": {"line_punct_thr": 0.12},
    "max_short_line_fraction": {"short_line_thr": 0.67},
    "max_repeated_line_character_fraction": {"char_duplicates_ratio": 0.01},
    "max_newlines_per_word": {"new_line_ratio": 0.3},
}
"""Our setting -> datatrove's arguments of one rule by itself."""
SENTENCES = "min_line_sentences"


def theirs(chains: dict[str, list[Any]], texts: list[str]) -> dict[str, Answers]:
    """Answers of each chain of datatrove's filters. Page by page, because datatrove keeps the words of the last few."""
    from datatrove.data import Document

    found: dict[str, Answers] = {name: ([], []) for name in chains}
    for text in texts:
        for name, filters in chains.items():
            page, reason = Document(text=text or " ", id=""), None
            for each in filters:
                verdict = each.filter(page)
                if verdict is not True:
                    reason = verdict[1] if isinstance(verdict, tuple) else "removed"
                    break
            found[name][0].append(reason)
            found[name][1].append(page.text)
    return found


def ours(texts: list[str], **settings: Any) -> Answers:
    """Answers of the filter stage."""
    (stage,) = build({"keep_languages": []} | settings, Recipe(name="parity", stages=[]))
    stage.open(StageContext(seed=0))
    empty = pa.nulls(len(texts), pa.string())
    out = stage.apply(pa.RecordBatch.from_pydict({"url": [""] * len(texts), "text": texts, "drop_reason": empty}))
    return out["drop_reason"].to_pylist(), out["text"].to_pylist()


def one_rule(table: str, setting: str, texts: list[str]) -> Answers:
    """One rule of a table by itself, on the text as it is."""
    check = next(c for phase in TABLES[table].phases for c in phase.checks if c.setting == setting)
    rule = check.rule
    own = {"column": rule.column, "op": rule.op, "threshold": float(rule.threshold), "reason": rule.reason}
    lists = {part.name: {"phrases": list(part.phrases)} for part in TABLES[table].lists if rule.column in part.columns}
    return ours(texts, rules="none", own_rules=[own], phrase_lists=lists)


def rules_alone(texts: list[str]) -> dict[str, tuple[Answers, Answers]]:
    """Setting -> our answers and datatrove's, rule by rule."""
    from datatrove.pipeline import filters

    def alone(kind: Callable[..., Any], off: dict[str, Any], rules: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
        return {setting: [kind(**(off | arguments))] for setting, arguments in rules.items()}

    lines = filters.C4QualityFilter(filter_no_terminal_punct=False, min_num_sentences=-1)
    reasons, after = theirs({"lines": [lines]}, texts)["lines"]
    lines_left = [text for text, reason in zip(after, reasons, strict=True) if reason is None and text]
    gopher = alone(filters.GopherRepetitionFilter, REPETITION_OFF, REPETITION)
    gopher |= alone(filters.GopherQualityFilter, QUALITY_OFF, QUALITY)
    fineweb = alone(filters.FineWebQualityFilter, FINEWEB_OFF, FINEWEB)
    fineweb[SENTENCES] = [filters.C4QualityFilter(filter_no_terminal_punct=False)]
    found = {}
    for table, chains, pages in (("gopher", gopher, texts), ("fineweb", fineweb, lines_left)):
        for setting, answers in theirs(chains, pages).items():
            found[setting] = (one_rule(table, setting, pages), answers)
    return found


def whole_tables(texts: list[str]) -> dict[str, tuple[Answers, Answers]]:
    """Table -> our answers and datatrove's."""
    from datatrove.pipeline import filters

    repetition, quality, c4, fineweb = datatrove_filters()
    no_gopher = [check.rule.reason for check in TABLES["gopher"].phases[0].checks]
    own_four = [check.rule.reason for check in TABLES["fineweb"].phases[-1].checks if check.setting in FINEWEB]
    chains = {
        "gopher": [repetition, quality],
        "c4": [filters.C4QualityFilter(min_num_sentences=3, min_words_per_line=5)],
        "c4 part of fineweb": [c4],
        "fineweb": [repetition, quality, c4, fineweb],
    }
    settings: dict[str, dict[str, Any]] = {name: {"rules": name} for name in ("gopher", "c4", "fineweb")}
    settings["c4 part of fineweb"] = {"rules": "fineweb", "skip_rules": [*no_gopher, *own_four]}
    return {name: (ours(texts, **settings[name]), answers) for name, answers in theirs(chains, texts).items()}


def same_lines(text: str, other: str) -> bool:
    """Whether two texts have the same lines but for blank ones and outer blanks."""
    mine, yours = ([line.strip() for line in each.splitlines() if line.strip()] for each in (text, other))
    return mine == yours


def agreement(mine: np.ndarray, other: np.ndarray) -> dict[str, int]:
    return {
        "pages": len(mine), "agree": int((mine == other).sum()), "both_remove": int((~mine & ~other).sum()),
        "only_we_remove": int((~mine & other).sum()), "only_datatrove_removes": int((mine & ~other).sum()),
    }  # fmt: skip


def compare(texts: list[str], show: int) -> dict[str, Any]:
    result: dict[str, Any] = {"rules": {}, "tables": {}}
    answers = [("rules", rules_alone(texts)), ("tables", whole_tables(texts))]
    for kind, found in answers:
        for name, ((reasons, edited), (other_reasons, other_edited)) in found.items():
            mine, other = (np.array([reason is None for reason in each]) for each in (reasons, other_reasons))
            counts = agreement(mine, other)
            print(f"{counts['agree']}/{counts['pages']}  {name}  {counts}")
            if kind == "tables":
                both = np.flatnonzero(mine & other)
                counts |= {"both_keep": len(both), "same_text": sum(edited[row] == other_edited[row] for row in both),
                           "same_lines": sum(same_lines(edited[row], other_edited[row]) for row in both)}  # fmt: skip
                for row in np.flatnonzero(mine != other)[:show]:
                    print(f"    page {row}: {reasons[row]}, datatrove {other_reasons[row]}")
            result[kind][name] = counts
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, nargs="+", required=True)
    parser.add_argument("--show", type=int, default=0, help="pages to name for each table that differs")
    arguments = parser.parse_args()
    if not has_datatrove():
        sys.exit(NO_DATATROVE)
    texts = [page["text"] for path in arguments.golden for page in read_golden(path)]
    print(json.dumps(compare(texts, arguments.show)))


if __name__ == "__main__":
    main()
