"""The page of `tamis dups`: clusters, pairs side by side with the differing words marked, paragraphs and hosts."""

import re
from dataclasses import replace
from importlib import resources

from tamis.base.words import shortened
from tamis.report.duplicates import MAX_COMPARED_WORDS, Duplicates, Pair, ShownDocument, differences, words_of
from tamis.report.formats import count, escape, percent, plural, safe_link
from tamis.report.tables import TableRow, definitions, disclosure, table
from tamis.store.atomic import write_text
from tamis.store.location import Location

_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def page_name(cluster: str | None) -> str:
    """File name of the page in the run: one for the whole step, and one for every requested cluster."""
    return "dups.html" if cluster is None else f"dups-{_NOT_IN_NAMES.sub('-', cluster)}.html"


def write_page(found: Duplicates, output: Location) -> Location:
    """Write the self-contained HTML page. The same result of a step gives the same bytes."""
    css = "".join(
        resources.files("tamis.report").joinpath(name).read_text("utf-8") for name in ("page.css", "duplicates.css")
    )
    heading = f"Duplicates: {Location(found.run).name}"
    sections = [_clusters(found), _pairs(found), _paragraphs(found), _hosts(found)]
    write_text(
        output,
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(heading)} – Tamis</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
        f'<header>\n<p class="kicker">Tamis duplicates</p>\n<h1>{escape(heading)}</h1>\n{_facts(found)}</header>\n'
        f"<main>\n{''.join(sections)}</main>\n</body>\n</html>\n",
    )
    return output


def _facts(found: Duplicates) -> str:
    counts = found.counts
    removed = sum(counts["removed"].values())
    line = (
        f'<p class="meta">{escape(found.stage)} · {escape(found.config.get("method", ""))}: {count(counts["in"])} '
        f"documents in, {count(counts['kept'])} kept, {count(removed)} removed "
        f"({percent(removed, counts['in'])})</p>"
    )
    shown = [(name, escape(value)) for name, value in found.config.items() if not isinstance(value, dict | list)]
    shown += [(name, escape(value)) for name, value in found.decisions.items() if not isinstance(value, dict | list)]
    return line + disclosure("Settings and findings", definitions(shown)) + _self_check(found)


def _self_check(found: Duplicates) -> str:
    """Recall that the step measured on copies planted in the user's own data."""
    lines = found.decisions.get("self_check") or []
    if not lines:
        return ""
    rows = [
        TableRow(cells=[percent(line["rate"], 1), count(line["planted"]), count(line["caught"]),
                   percent(line["caught"], line["planted"])])
        for line in lines
    ]  # fmt: skip
    heads = ["Words replaced", "Planted", "Caught", "Recall"]
    if all("expected_recall" in line for line in lines):  # Only MinHash can predict its recall.
        heads.append("Expected")
        rows = [
            replace(row, cells=[*row.cells, percent(line["expected_recall"], 1)])
            for row, line in zip(rows, lines, strict=True)
        ]
    return "<h3>Planted copies</h3>\n" + table("Recall on planted copies", heads, rows)


def _section(name: str, heading: str, body: str) -> str:
    return f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{heading}</h2>\n{body}</section>\n'


def _clusters(found: Duplicates) -> str:
    if not found.clusters:
        return ""
    note = f'<p class="note">{plural(found.num_clusters, "cluster")}; the largest are shown.</p>'
    body = "".join(
        disclosure(
            f"<b>{count(size)}</b> documents · {escape(shortened(kept.text, 90))}",
            _named("kept", kept) + "".join(_named("removed", member) for member in removed)
            + (f"<p>and {count(size - 1 - len(removed))} more</p>" if size - 1 > len(removed) else ""),
        )
        for kept, size, removed in found.clusters
    )  # fmt: skip
    return _section("clusters", "Clusters", note + body)


def _named(label: str, document: ShownDocument) -> str:
    return f'<p class="url">{label}: {safe_link(document.url)} <small>{escape(document.id)}</small></p>'


def _pairs(found: Duplicates) -> str:
    if not found.pairs:
        return ""
    removed = found.pair_kind == "removed"
    left, right = ("kept", "removed") if removed else ("after", "before")
    what = "documents kept and removed" if removed else "documents after and before"
    note = f'<p class="note">{what.capitalize()}, the least alike first; words that differ are marked.</p>'
    return _section("pairs", "Side by side", note + "".join(_pair(pair, left, right) for pair in found.pairs))


def _pair(pair: Pair, left: str, right: str) -> str:
    sides: tuple[list[str], list[str]] = ([], [])
    for kind, a, b in differences(pair.kept.text, pair.removed.text):
        for side, words in zip(sides, (a, b), strict=True):
            text = _html(words)
            side.append(text if kind == "equal" or not words else f"<mark>{text}</mark>")
    columns = "".join(
        f'<div><p class="url">{label}: {safe_link(document.url)}</p><p class="words">{"".join(side)}{_more(document)}'
        "</p></div>"
        for label, document, side in ((left, pair.kept, sides[0]), (right, pair.removed, sides[1]))
    )
    heading = f"<h3>{percent(pair.likeness, 1)} alike</h3>"
    return f'<article class="pair">{heading}<div class="sides">{columns}</div></article>\n'


def _html(words: list[str]) -> str:
    return escape("".join(words)).replace("\n", "<br>")


def _more(document: ShownDocument) -> str:
    return " …" if len(words_of(document.text)) == MAX_COMPARED_WORDS else ""


def _paragraphs(found: Duplicates) -> str:
    if not found.paragraphs:
        return ""
    rows = [
        TableRow(cells=[escape(shortened(line.text, 160)), count(line.documents), count(line.hosts)])
        for line in found.paragraphs
    ]
    over = "all documents" if found.paragraph_sample == 1 else f"a sample of {percent(found.paragraph_sample, 1)}"
    note = f'<p class="note">Lines before the step, counted once per document, over {over}.</p>'
    return _section("paragraphs", "Most repeated lines", note + table("Lines", ["Line", "Documents", "Hosts"], rows))


def _hosts(found: Duplicates) -> str:
    if not found.hosts:
        return ""
    rows = [
        TableRow(cells=[escape(host), count(entered), count(gone), percent(gone, entered)])
        for host, entered, gone in found.hosts
    ]
    return _section("hosts", "Hosts", table("Hosts", ["Host", "Documents", "Removed", "Share"], rows))
