"""What two runs do differently: settings, versions, the accounting side by side, and the pages that only one kept.

A page that one run kept and the other did not is attributed to the step and reason that took it there. As the removed
row holds what was measured, it is also told whether that reason is the only one of its step that holds (the rule alone
removed the page), or whether another rule would have removed it as well.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tamis.base.errors import ConfigError, DataError
from tamis.base.settings import differing_recipes
from tamis.base.signals import Rule
from tamis.questions.pages import Crossing, Ends, Meeting, meet
from tamis.questions.rules import MOST_REASONS, UNSURE, rules_of
from tamis.questions.sample import explained, page_entry
from tamis.questions.stored import Cards, finished_cards
from tamis.store.atomic import read_json
from tamis.store.rundir import RunDir
from tamis.store.scratch import scratch


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Pages that one run kept and the other lost at `step` for `reason`.

    `alone`: no other rule of the step holds for them. `others`: reason -> pages for which that rule of the step holds
    as well. `unsure`: pages for which some rule of the step could not be tested, as its signal was not measured. `rule`
    is the rule in the run that lost them, `rule_there` the one of this reason in the run that kept them; '' where there
    is none, as for duplicates."""

    step: str
    outcome: str
    reason: str
    pages: int
    alone: int
    unsure: int
    others: dict[str, int]
    rule: str
    rule_there: str
    samples: list[dict[str, Any]]


def diff(a: RunDir, b: RunDir, samples: int = 3, seed: int = 0) -> dict[str, Any]:
    """The differences of two finished runs as data; docs/questions.md describes every field.

    Raises ConfigError for a run that is not finished or is named twice, DataError where a file is not as it was
    written.
    """
    if a.root == b.root:
        raise ConfigError(f"diff: the run '{a.root}' is named twice. Name two different runs")
    cards = finished_cards(a), finished_cards(b)
    with scratch() as folder:
        ends = Ends(a, cards[0], seed), Ends(b, cards[1], seed)
        meeting = meet(*ends, folder, samples)
    recipes = [run.read_recipe() for run in (a, b)]
    return {
        "runs": [str(a.root), str(b.root)],
        "names": _names(a, b),
        "same_pool": cards[0][0][1].fingerprint == cards[1][0][1].fingerprint,
        "settings": [{"setting": name, "values": values} for name, values in differing_recipes(recipes).items()],
        "versions": _versions((a, b), cards),
        "steps": _steps(*cards),
        "pages": _counts(ends, meeting),
        "lost": [vars(each) for each in _taken(ends, meeting, 1, samples)],
        "gained": [vars(each) for each in _taken(ends, meeting, 0, samples)],
    }


def _names(a: RunDir, b: RunDir) -> list[str]:
    """What the runs are called: the names of their folders or, where these are equal, their places."""
    names = [a.root.name, b.root.name]
    return names if names[0] != names[1] else [str(a.root), str(b.root)]


def _versions(runs: Sequence[RunDir], cards: Sequence[Cards]) -> list[dict[str, Any]]:
    """{what, values}: versions of the code that differ: of Tamis, of Python and libraries, and of each step."""
    sides = []
    for run, own in zip(runs, cards, strict=True):
        found: dict[str, Any] = {"tamis": ", ".join(sorted({card.tamis_version for _, card in own}))}
        found |= {name: value for name, value in _provenance(run).items() if name in ("python", "numpy", "pyarrow")}
        for _, card in own:
            method = card.config.get("method")  # each method of a step has a version of its own
            found[f"step {card.name}" + (f" {method}" if method else "")] = card.version
        sides.append(found)
    shared = [name for name in sides[0] if name in sides[1] and sides[0][name] != sides[1][name]]
    return [{"what": name, "values": [side[name] for side in sides]} for name in shared]


def _provenance(run: RunDir) -> dict[str, Any]:
    try:
        found = read_json(run.provenance)
    except (FileNotFoundError, DataError):
        return {}
    return found if isinstance(found, dict) else {}


def _steps(a: Cards, b: Cards) -> list[dict[str, Any]]:
    """The accounting side by side: steps of one name in one order are a line; where only one run has a step, the other
    side is None. `same`: both runs share the work itself."""
    names = [[card.name for _, card in cards] for cards in (a, b)]
    lines: list[tuple[int | None, int | None]] = []
    for _, a0, a1, b0, b1 in difflib.SequenceMatcher(None, names[0], names[1], autojunk=False).get_opcodes():
        if names[0][a0:a1] == names[1][b0:b1]:
            lines += zip(range(a0, a1), range(b0, b1), strict=True)
        else:
            lines += [(place, None) for place in range(a0, a1)] + [(None, place) for place in range(b0, b1)]
    out = []
    for left, right in lines:
        both = [_side(cards, place) for cards, place in ((a, left), (b, right))]
        prints = [cards[place][1].fingerprint if place is not None else "" for cards, place in ((a, left), (b, right))]
        name = names[0][left] if left is not None else names[1][right or 0]
        out.append({"name": name, "same": prints[0] == prints[1], "sides": both})
    return out


def _side(cards: Cards, place: int | None) -> dict[str, Any] | None:
    if place is None:
        return None
    step, card = cards[place]
    counts = card.accounting.to_dict()["counts"] if card.accounting is not None else {}
    return {"step": step, **counts}


def _counts(ends: Sequence[Ends], meeting: Meeting) -> dict[str, Any]:
    """Numbers of pages: in both pools, and of these kept by both, by one, by none; and only in one of the pools."""
    found = {"by_id": meeting.by_id, "by_url": meeting.by_url, "kept_by_both": 0, "only_in_first": 0,
             "only_in_second": 0, "kept_by_none": 0}  # fmt: skip
    names = {
        (True, True): "kept_by_both", (True, False): "only_in_first", (False, True): "only_in_second",
        (False, False): "kept_by_none",
    }  # fmt: skip
    for (x, y), crossing in meeting.crossings.items():
        found[names[ends[0].ends[x].is_kept, ends[1].ends[y].is_kept]] += crossing.number
    alone = []
    for side, counted in zip(ends, meeting.alone, strict=True):
        kept = sum(number for end, number in counted.items() if side.ends[end].is_kept)
        alone.append({"pages": counted.total(), "kept": kept})
    return found | {"not_in_other_pool": alone}


def _taken(ends: Sequence[Ends], meeting: Meeting, loser: int, samples: int) -> list[Taken]:
    """The pages that the other run kept and the run `loser` (0 or 1) lost, by step and reason, the most first."""
    keeper, losing = ends[1 - loser], ends[loser]
    merged: dict[int, Crossing] = {}
    for pair, crossing in meeting.crossings.items():
        if not keeper.ends[pair[1 - loser]].is_kept or losing.ends[pair[loser]].is_kept:
            continue
        one = merged.setdefault(pair[loser], Crossing())
        one.number += crossing.number
        one.rules.update(crossing.rules)
        one.drawn = sorted([*one.drawn, *crossing.drawn])[:samples]
    places = {
        number: [(losing.files[file], row) for file, row in (item[1:][loser] for item in one.drawn)]
        for number, one in merged.items()
    }
    pages = explained(losing.run, losing.cards, [place for each in places.values() for place in each])
    found = []
    for number, one in sorted(merged.items(), key=lambda item: (-item[1].number, item[0])):
        shown = [page_entry(pages[place]) for place in places[number]]
        found.append(_entry(losing, keeper, number, one, shown))
    return found


def _entry(losing: Ends, keeper: Ends, number: int, crossing: Crossing, shown: list[dict[str, Any]]) -> Taken:
    end = losing.ends[number]
    step, card = losing.cards[end.position]
    verdicts = losing.verdicts[end.position]
    own = int(verdicts.bit(end.reason))
    alone = unsure = 0
    others: dict[str, int] = {}
    for bits, count in crossing.rules.items():
        rest = bits & ~own & ~int(UNSURE)
        unsure += count if bits & int(UNSURE) else 0
        alone += count if own and bits & own and not rest else 0
        for place, reason in enumerate(verdicts.reasons[:MOST_REASONS]):
            if rest >> place & 1:
                others[reason] = others.get(reason, 0) + count
    there = [rule for _, other in keeper.cards if other.name == card.name for rule in rules_of(other)]
    return Taken(
        step=step, outcome=end.outcome, reason=end.reason, pages=crossing.number, alone=alone, unsure=unsure,
        others=dict(sorted(others.items(), key=lambda item: (-item[1], item[0]))),
        rule=_told(rules_of(card), end.reason), rule_there=_told(there, end.reason), samples=shown,
    )  # fmt: skip


def _told(rules: Sequence[Rule], reason: str) -> str:
    """The rules with a reason, as text."""
    found = []
    for rule in rules:
        if rule.reason == reason:
            limits = rule.threshold if isinstance(rule.threshold, tuple) else (rule.threshold,)
            among = f" ({rule.among[0]} {rule.among[1]})" if rule.among else ""
            found.append(f"{rule.column} {rule.op} {', '.join(map(_limit, limits))}{among}")
    return "; ".join(dict.fromkeys(found))


def _limit(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.10g}" if is_number else str(value)
