"""Measures how often Tamis agrees with DCLM's own code, step by step, on a file of recorded results.

    python bench/parity.py --golden web-dev.rules.jsonl.zst [--banlists DIR] [--mode paper] [--show 3]

Every result comes from the kernels or from the filter stage in the given mode; a step without a result counts as a
disagreement. Prints `agree/of` per step and, last, one JSON line.
"""

import argparse
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard

from tamis.base.recipe import Recipe
from tamis.base.signals import Rule
from tamis.base.stage import StageContext
from tamis.kernels.rules import lines, program
from tamis.kernels.rules.program import Outcome, Program
from tamis.stages.filter import urls
from tamis.stages.filter.programs import TablePrograms
from tamis.stages.filter.published import TABLES
from tamis.stages.filter.stage import build
from tamis.store.location import Location

Pages = list[dict[str, Any]]
LENGTH_COLUMNS = {
    "word": "num_words", "uniseg": "num_unicode_words", "line": "num_lines", "paragraph": "num_paragraphs",
    "char": "num_characters",
}  # fmt: skip
MAPPER_OF_REASON = {
    "no_text": "url_removal_modifier", "empty_after_remove_links": "url_removal_modifier",
    "empty_after_uppercase_lines": "uppercase_ratio_line_modifier",
    "empty_after_numeric_lines": "numeric_ratio_line_modifier", "empty_after_counter_lines": "counter_line_modifier",
    "empty_after_short_lines": "line_length_modifier", "empty_after_items_in_cart": "substring_line_modifier",
    "empty_after_read_more": "substring_line_modifier", "empty_after_sign_in": "substring_line_modifier",
    "too_few_words": "page_length_filter", "too_many_words": "page_length_filter",
    "words_too_short": "word_length_filter", "words_too_long": "word_length_filter",
    "too_many_symbols": "symbol_ratio_filter", "too_many_bullet_lines": "bullet_count_filter",
    "too_many_ellipsis_lines": "ellipsis_count_filter", "too_few_alphabetic_words": "alphabetic_word_ratio_filter",
    "too_few_stop_words": "stop_word_filter", "too_many_words_removed": "word_removal_ratio_filter",
}  # fmt: skip
REPETITION_MAPPER = "massive_web_repetition_filters"


def read_golden(path: Path) -> Pages:
    """One object per page."""
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        return [json.loads(line) for line in io.TextIOWrapper(stream, "utf-8", newline="\n") if line.strip()]


def drop_rules(name: str, parameters: list[str]) -> list[tuple[str, str, float]] | None:
    """`(column, op, threshold)` of the tests any of which removes a page, or None for a rule not known here."""
    single = {
        "symbol_ratio": ("symbols_per_word", ">"),
        "bullet_count": ("bullet_line_fraction", ">"),
        "ellipsis_count": ("ellipsis_line_fraction", ">"),
        "alphabetic_word_ratio": ("words_without_letter_fraction", ">"),
        "alphanumeric_char_ratio": ("alphanumeric_fraction", "<"),
    }
    if name in single:
        return [(*single[name], float(parameters[0]))]
    if name == "page_length" and parameters[0] in LENGTH_COLUMNS:
        column = LENGTH_COLUMNS[parameters[0]]
        return [(column, "<", float(parameters[1])), (column, ">", float(parameters[2]))]
    if name == "word_length":
        return [("mean_word_length", "<", float(parameters[0])), ("mean_word_length", ">", float(parameters[1]))]
    if name == "stop_word":
        column = "num_distinct_stop_words" if parameters[0] == "unique" else "num_stop_words"
        return [(column, "<", float(parameters[-1]))]
    if name == "line_length":
        column = {"max": "max_line_characters", "avg": "mean_line_characters"}[parameters[0]]
        return [(column, ">", float(parameters[1]))]
    if name == "massive_web_repetition":
        return repetition_battery(skip_paragraph="skip_paragraph" in parameters)
    if name == "repetition":
        return repetition_rule(parameters)
    return None


def repetition_rule(parameters: list[str]) -> list[tuple[str, str, float]]:
    """One test of the battery: `line,count,0.3`, `paragraph,char,0.2` or `5gram,0.15`."""
    gram = re.fullmatch(r"(\d+)gram", parameters[0])
    if gram:
        kind = "top" if int(gram[1]) <= 4 else "duplicate"
        return [(f"{kind}_{gram[1]}gram_fraction", ">", float(parameters[1]))]
    unit = "_character" if parameters[1] == "char" else ""
    return [(f"duplicate_{parameters[0]}{unit}_fraction", ">", float(parameters[2]))]


def repetition_battery(*, skip_paragraph: bool) -> list[tuple[str, str, float]]:
    """Gopher's tests, at the thresholds of the stage's own table."""
    stage = build({"rules": "refinedweb", "keep_languages": []}, Recipe(name="parity", stages=[]))[0]
    rules = [rule for rule in stage.rules if re.match(r"(duplicate|top)_", rule.column)]
    return [(r.column, r.op, float(r.threshold)) for r in rules if not (skip_paragraph and "paragraph" in r.column)]


def edit_program(name: str, parameters: list[str], programs: TablePrograms) -> Program | None:
    """The program of a `mod:` step, or None for an edit not known here."""
    wildcard = "." if programs.paper else ""
    numbers = [float(p) for p in parameters if re.fullmatch(r"[\d.]+", p)]
    simple: dict[str, Callable[[Program], Program]] = {
        "url_removal": lambda p: p.remove_links(programs.domains, bare=programs.paper),
        "counter_line": lambda p: p.drop_lines(lines.COUNTER_LINES).strip(),
        "items_in_cart": lambda p: p.remove_phrase("items in cart", lines.ANYWHERE, 10),
        "read_more": lambda p: p.remove_phrase("read more...", lines.SUFFIX, 10, wildcard),
        "sign_in": lambda p: p.remove_phrase("sign-in", lines.PREFIX, 10),
        "punctuation_line": lambda p: p.drop_lines(
            lines.UNFINISHED_LINES if "remove_ellipses" in parameters else lines.UNPUNCTUATED_LINES
        ),
        "citation_removal": lambda p: p.remove_citations(),
    }
    if name in simple:
        return simple[name](Program())
    if name == "within_page_dedup" and parameters == ["line"]:
        return Program().drop_repeated_lines()
    if not numbers:
        return None
    numbered: dict[str, Callable[[Program], Program]] = {
        "newline_removal": lambda p: p.collapse_newlines(int(numbers[0])),
        "uppercase_ratio_line": lambda p: p.drop_lines(lines.UPPERCASE_LINES, 0, numbers[0]).strip(),
        "numeric_ratio_line": lambda p: p.drop_lines(lines.NUMERIC_LINES, 0, numbers[0]).strip(),
        "line_length": lambda p: p.drop_lines(lines.SHORT_LINES, numbers[0]),
        "word_length": lambda p: p.drop_lines(lines.LONG_TOKEN_LINES, 0, numbers[0]),
    }
    return numbered[name](Program()) if name in numbered else None


class Answers:
    """Our answers on one set of pages."""

    def __init__(self, pages: Pages, mode: str, banlists: Path) -> None:
        self.pages, self.mode = pages, mode
        self.texts = pa.array([page["text"] for page in pages], pa.string())
        measure = Program()
        for group in program.MEASURES:
            measure.measure(group)
        self.measured: Outcome = measure.run(self.texts)
        self.programs = TablePrograms(TABLES["refinedweb"], paper=mode == "paper")
        self.gate = self.programs.link_gate(self.texts, np.ones(len(pages), np.bool_))
        self.lists = {
            name: urls.read_list(Location(banlists / file), "banlists")
            for name, file in (("strict", urls.STRICT), ("hard", urls.HARD), ("soft", urls.SOFT))
        }

    def step(self, step: str) -> list[Any] | None:
        """What DCLM's step would have recorded for every page, or None when there is no such step here."""
        match = re.fullmatch(r"(mod:)?(\w+)(?:\[(.*)\])?", step)
        if match is None:
            return None
        name, parameters = match[2], match[3].split(",") if match[3] else []
        if match[1]:
            edit = edit_program(name, parameters, self.programs)
            return None if edit is None else self._edited(edit)
        if name.startswith("url_words_") and name.removeprefix("url_words_") in self.lists:
            kind = name.removeprefix("url_words_")
            bans = urls.BanLists(**{kind: self.lists[kind]}, paper=self.mode == "paper")
            return [bans.reason(page["url"]) is None for page in self.pages]
        rules = drop_rules(name, parameters)
        if rules is None:
            return None
        removed = np.zeros(len(self.pages), np.bool_)
        for column, op, threshold in rules:
            rule = Rule(reason=step, column=column, op=op, threshold=threshold, source="")
            removed |= rule.fires(self.measured.column(column))
        return (~removed).tolist()

    def _edited(self, edit: Program) -> list[Any]:
        outcome = edit.run(self.texts, gate=self.gate)
        answers: list[Any] = []
        edited = outcome.text().to_pylist()
        for text, changed, emptied in zip(edited, outcome.changed, outcome.emptied, strict=True):
            if emptied != program.NOT_EMPTIED:
                answers.append({"removed": True})
            else:
                answers.append({"changed": bool(changed), "text": text if changed else None})
        return answers

    def baseline(self) -> list[dict[str, Any]]:
        """The stage's own verdicts and texts for the whole chain, without language and ban-lists."""
        (stage,) = build({"rules": "refinedweb", "keep_languages": []}, Recipe(name="x", mode=self.mode, stages=[]))
        stage.open(StageContext(seed=0))
        batch = pa.RecordBatch.from_pydict(
            {
                "id": [page["id"] for page in self.pages],
                "url": [page["url"] for page in self.pages],
                "text": self.texts,
                "drop_reason": pa.nulls(len(self.pages), pa.string()),
            }
        )
        out = stage.apply(batch)
        answers = []
        for row in out.select(["drop_reason", "text", "num_words"]).to_pylist():
            reason = row["drop_reason"]
            answers.append(
                {
                    "removed_by": reason and MAPPER_OF_REASON.get(reason, REPETITION_MAPPER),
                    "text": None if reason else row["text"],
                    "previous_word_count": None if reason else int(row["num_words"]),
                }
            )
        return answers


def same(ours: Any, golden: Any) -> bool:
    """Equal answers; `{removed: ...}` stands for a page dropped because nothing was left."""
    if isinstance(golden, dict) and "removed" in golden:
        return isinstance(ours, dict) and "removed" in ours
    return bool(ours == golden)


def same_baseline(ours: dict[str, Any], golden: dict[str, Any]) -> bool:
    """The text and count of removed pages are not part of the record."""
    if golden["removed_by"] is not None:
        return bool(ours["removed_by"] == golden["removed_by"])
    return all(ours[key] == golden[key] for key in ("removed_by", "text", "previous_word_count"))


def compare(pages: Pages, mode: str, banlists: Path, show: int) -> dict[str, Any]:
    """Agreement per step."""
    answers = Answers(pages, mode, banlists)
    steps: dict[str, list[int]] = {}
    for step in sorted({name for page in pages for name in page["steps"]}):
        ours = answers.step(step)
        asked = [row for row, page in enumerate(pages) if step in page["steps"]]
        wrong = [row for row in asked if ours is None or not same(ours[row], pages[row]["steps"][step])]
        steps[step] = [len(asked) - len(wrong), len(asked)]
        report(
            step, steps[step], "" if ours is not None else "not answered", [pages[row]["id"] for row in wrong[:show]]
        )
    ours = answers.baseline()
    asked = [row for row, page in enumerate(pages) if "baseline" in page]
    wrong = [row for row in asked if not same_baseline(ours[row], pages[row]["baseline"])]
    steps["baseline"] = [len(asked) - len(wrong), len(asked)]
    report("baseline", steps["baseline"], "", [pages[row]["id"] for row in wrong[:show]])
    return {
        "pages": len(pages),
        "checks": sum(of for _, of in steps.values()),
        "agree": sum(agree for agree, _ in steps.values()),
        "steps": steps,
    }


def report(step: str, counts: list[int], note: str, wrong_ids: list[str]) -> None:
    print(f"{counts[0]}/{counts[1]}  {step}  {note}{' '.join(wrong_ids)}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument(
        "--banlists", type=Path, help="folder of the URL word lists (default: banlists beside the file)"
    )
    parser.add_argument("--mode", choices=["paper", "fixed"], default="paper")
    parser.add_argument("--show", type=int, default=3, help="page ids to print for each step that differs")
    arguments = parser.parse_args()
    banlists = arguments.banlists or arguments.golden.parent / "banlists"
    print(json.dumps(compare(read_golden(arguments.golden), arguments.mode, banlists, arguments.show)))


if __name__ == "__main__":
    main()
