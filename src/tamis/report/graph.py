"""The graph of an experiment as one SVG: the nodes and their inputs, in columns by depth, with each shared node drawn
once."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tamis.base.words import shortened
from tamis.report.formats import duration, escape, plural
from tamis.report.scores import as_list, number

BOX_WIDTH, COLUMN_WIDTH = 176, 222
"""Pixels: a box, and a column with the space for lines between boxes. The drawing scrolls where it is too wide."""
LINE_HEIGHT, GAP, MARGIN = 14, 12, 8
LINE_CHARACTERS, MOST_LINES = 25, 3
KNOWN_KINDS = ("pass", "decision", "tokenizer", "heldout", "model", "evaluation", "comparison", "report", "classifier")
"""Kinds of nodes that page.css has a colour for."""

_SEED = re.compile(r"[ ,:]*seed \d+$")


@dataclass(eq=False)
class GraphBox:
    """One node as it is drawn. `runs` are those that share it."""

    what: str
    kind: str
    done: bool
    artefacts: list[str]
    seconds: float
    runs: list[str]
    inputs: list["GraphBox"] = field(default_factory=list)
    depth: int = 0
    y: float = 0.0

    @property
    def lines(self) -> list[str]:
        return _wrapped(self.what)

    @property
    def small(self) -> str:
        """The runs that the node belongs to, and how long it took."""
        who = plural(len(self.runs), "run") if len(self.runs) > 1 else "".join(self.runs)
        took = duration(self.seconds) if self.seconds == self.seconds and self.seconds > 0 else ""
        state = "" if self.done else "not done"
        room = LINE_CHARACTERS - 2 - len(took or state)
        return " · ".join(part for part in (shortened(who, max(6, room)), took or state) if part)

    @property
    def height(self) -> int:
        return LINE_HEIGHT * (len(self.lines) + bool(self.small)) + 12


def draw_graph(nodes: Sequence[dict[str, Any]]) -> str:
    """`nodes`: {label, kind, artefacts, done, inputs: [labels], seconds?}; '' when there are none."""
    boxes = _boxes(nodes)
    if not boxes:
        return ""
    columns = _place(boxes)
    width = COLUMN_WIDTH * len(columns) - (COLUMN_WIDTH - BOX_WIDTH) + 2 * MARGIN
    height = round(max(box.y + box.height for box in boxes)) + MARGIN
    edges = "".join(_edge(source, box) for box in boxes for source in box.inputs)
    drawn = edges + "".join(map(_box, boxes))
    done = sum(box.done for box in boxes)
    label = f"Graph of the experiment: {plural(len(boxes), 'node')}, {done} done"
    shared = sum(len(box.runs) > 1 for box in boxes)
    note = "Each box is made from those to its left that lead to it"
    note += f"; {shared} shared by several recipes" if shared else ""
    if done < len(boxes):
        note += f"; dashed: not done ({len(boxes) - done})"
    return (
        f'<div class="scroll graph" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<svg role="img" aria-label="{escape(label)}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{drawn}</svg></div>\n<p class="note">{note}.</p>\n'
    )


def _boxes(nodes: Sequence[dict[str, Any]]) -> list[GraphBox]:
    """A box per node; nodes that make the same artefacts are one. Inputs that are not in the graph are left out."""
    by_label: dict[str, GraphBox] = {}
    by_content: dict[tuple[str, ...], GraphBox] = {}
    inputs: list[tuple[GraphBox, list[str]]] = []
    for node in nodes:
        label, kind = str(node.get("label", "")), str(node.get("kind", ""))
        artefacts = [str(name) for name in as_list(node.get("artefacts"))]
        run, colon, what = label.partition(": ")
        made = GraphBox(
            what=what if colon else label, kind=kind, done=bool(node.get("done")), artefacts=artefacts,
            seconds=number(node.get("seconds")), runs=[run] if colon else [],
        )  # fmt: skip
        box = by_content.setdefault((kind, *artefacts), made) if artefacts else made
        if box is not made:
            box.runs += [name for name in made.runs if name not in box.runs]
        by_label[label] = box
        inputs.append((box, [str(name) for name in as_list(node.get("inputs"))]))
    for box, labels in inputs:
        for label in labels:
            source = by_label.get(label)
            if source is not None and source is not box and source not in box.inputs:
                box.inputs.append(source)
    return _gathered(list(dict.fromkeys(by_label.values())))


def _gathered(boxes: Sequence[GraphBox]) -> list[GraphBox]:
    """One box for models that one run trained on the same data with different seeds, and one for their evaluations."""
    for kind in ("model", "evaluation"):
        groups: dict[tuple[Any, ...], list[GraphBox]] = {}
        for box in boxes:
            key = (kind, *box.runs, *sorted(map(id, box.inputs)), box.done) if box.kind == kind else (id(box),)
            groups.setdefault(key, []).append(box)
        stands_for = {id(box): group[0] for group in groups.values() for box in group}
        for group in groups.values():
            if len(group) > 1:
                _gather(group)
        boxes = [group[0] for group in groups.values()]
        for box in boxes:
            box.inputs = list(dict.fromkeys(stands_for[id(source)] for source in box.inputs))
    return list(boxes)


def _gather(group: Sequence[GraphBox]) -> None:
    """Make the first box stand for all of the group."""
    first = group[0]
    first.what = f"{_SEED.sub('', first.what)}, {len(group)} seeds"
    first.artefacts = [name for box in group for name in box.artefacts]
    known = [box.seconds for box in group if box.seconds == box.seconds]
    first.seconds = sum(known) if known else math.nan


def _place(boxes: Sequence[GraphBox]) -> list[list[GraphBox]]:
    """Columns by depth; within a column, near what each box is made from, so that lines seldom cross."""
    for _ in boxes:  # In a graph without cycles the depths are final after as many rounds as it is deep.
        depths = [1 + max((source.depth for source in box.inputs), default=-1) for box in boxes]
        depths = [min(depth, len(boxes) - 1) for depth in depths]
        if depths == [box.depth for box in boxes]:
            break
        for box, depth in zip(boxes, depths, strict=True):
            box.depth = depth
    _move_right(boxes)
    columns: list[list[GraphBox]] = [[] for _ in range(1 + max(box.depth for box in boxes))]
    for box in boxes:
        columns[box.depth].append(box)
    columns = [column for column in columns if column]
    for number_, column in enumerate(columns):
        for box in column:
            box.depth = number_
    tallest = max(sum(box.height + GAP for box in column) for column in columns)
    for column in columns:
        order = {id(box): place for place, box in enumerate(column)}
        column.sort(key=lambda box: (_middle(box.inputs), order[id(box)]))
        y = MARGIN + (tallest - sum(box.height + GAP for box in column)) / 2
        for box in column:
            box.y = y
            y += box.height + GAP
    return columns


def _move_right(boxes: Sequence[GraphBox]) -> None:
    """Put every box into the column before the first box that needs it, so that lines are short and similar boxes share
    a column."""
    users: dict[int, list[GraphBox]] = {}
    for box in boxes:
        for source in box.inputs:
            users.setdefault(id(source), []).append(box)
    for box in sorted(boxes, key=lambda box: -box.depth):
        if id(box) in users:
            box.depth = max(box.depth, min(user.depth for user in users[id(box)]) - 1)


def _middle(inputs: Sequence[GraphBox]) -> float:
    """Mean height of what a box is made from; boxes made from nothing keep their order at the top."""
    return sum(box.y + box.height / 2 for box in inputs) / len(inputs) if inputs else 0.0


def _left(box: GraphBox) -> int:
    return MARGIN + COLUMN_WIDTH * box.depth


def _edge(source: GraphBox, box: GraphBox) -> str:
    x1, y1 = _left(source) + BOX_WIDTH, source.y + source.height / 2
    x2, y2 = _left(box), box.y + box.height / 2
    bend = (COLUMN_WIDTH - BOX_WIDTH) * 0.9
    return f'<path class="edge" d="M{x1} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2} {y2:.1f}"/>'


def _box(box: GraphBox) -> str:
    x = _left(box)
    kind = f"kind-{box.kind}" if box.kind in KNOWN_KINDS else "kind-other"
    state = "" if box.done else " todo"
    told = [", ".join(box.runs), box.what, *box.artefacts]
    title = "\n".join(part for part in told if part)
    lines = [*box.lines, *([box.small] if box.small else [])]
    small = len(lines) - 1 if box.small else -1
    texts = "".join(
        f'<text x="{x + 12}" y="{box.y + 18 + LINE_HEIGHT * place:.1f}" '
        f'class="{"small" if place == small else "what"}">{escape(line)}</text>'
        for place, line in enumerate(lines)
    )
    return (
        f'<g class="{kind}{state}"><title>{escape(title)}</title>'
        f'<rect x="{x}" y="{box.y:.1f}" width="{BOX_WIDTH}" height="{box.height}" rx="3" class="box"/>'
        f'<rect x="{x}" y="{box.y:.1f}" width="4" height="{box.height}" class="stripe"/>{texts}</g>'
    )


def _wrapped(text: str) -> list[str]:
    """At most `MOST_LINES` lines, broken between words where there are any, the last with an ellipsis where cut."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= LINE_CHARACTERS:
            lines[-1] += f" {word}"
        else:
            lines.append(shortened(word, LINE_CHARACTERS))
    if len(lines) > MOST_LINES:
        rest = " ".join(lines[MOST_LINES - 1 :])
        lines = [*lines[: MOST_LINES - 1], shortened(rest, LINE_CHARACTERS)]
    return lines or ["–"]
