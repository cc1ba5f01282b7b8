"""The funnel: how much each stage kept, removed (by reason) and quarantined, as bars and as the accounting table."""

import math

from tamis.report.charts import Segment, bar
from tamis.report.collect import Amount, RunView, StageView, stage_tokens
from tamis.report.formats import THIN, count, data, escape, percent, plural, short_count, size, words
from tamis.report.scores import as_dict, whole
from tamis.report.tables import TableRow, disclosure, table

NUM_SHADES = 4
"""Shades of the removal colour in page.css; neighbouring reasons take different ones."""


def funnel(run: RunView, open_accounting: bool) -> str:
    """Bars per stage, then the accounting table."""
    done = [stage for stage in run.stages if stage.status == "done"]
    most_rows = max([stage.taken.rows for stage in done], default=0)
    most_bytes = max([max(stage.taken.text_bytes, stage.kept.text_bytes) for stage in done], default=0)
    rows = [
        '<div class="funnel-row funnel-head"><span></span>'
        f"<span>documents <small>full width: {count(most_rows)}</small></span>"
        f"<span>text <small>full width: {size(most_bytes)}</small></span></div>"
    ]
    rows += [_bars(stage, most_rows, most_bytes, _tokens_of(run, stage)) for stage in run.stages]
    if not run.stages:
        return '<p class="quiet">No stage of this run has started.</p>\n'
    unbalanced = [stage for stage in done if stage.lost_rows]
    verdict = (
        f"✗ {plural(len(unbalanced), 'stage')} out of balance" if unbalanced else "✓ every document is accounted for"
    )
    accounting = disclosure(
        f'The accounting of {escape(run.label)} <span class="{"bad" if unbalanced else "good"}">{verdict}</span>',
        _accounting(run, done),
        open_=open_accounting or bool(unbalanced),
    )
    return f'<div class="funnel">{"".join(rows)}</div>\n{accounting}'


def _tokens_of(run: RunView, stage: StageView) -> str:
    """Tokens of the text that a stage kept: counted where it tokenized, otherwise estimated and marked so."""
    if counted := stage_tokens(stage):
        return f' <span class="reason">{data(counted, short_count(counted))} tokens</span>'
    if math.isnan(run.bytes_per_token) or not stage.kept.text_bytes:
        return ""
    return f' <span class="reason">≈{THIN}{short_count(stage.kept.text_bytes / run.bytes_per_token)} tokens</span>'


def _bars(stage: StageView, most_rows: int, most_bytes: int, tokens: str) -> str:
    name = f'<span class="stage-name">{escape(words(stage.name))}</span>'
    if stage.status != "done":
        state = {"missing": "not run", "unfinished": "not finished", "broken": "card not readable"}[stage.status]
        return f'<div class="funnel-row">{name}<p class="under quiet">{state}</p><span></span></div>'
    rows = bar(_row_parts(stage, most_rows), _spoken(stage), 16)
    said = f"<span><b>{size(stage.kept.text_bytes)}</b> kept</span>{tokens}{_text_change(stage)}"
    if not (stage.taken.text_bytes or stage.kept.text_bytes):
        said = '<span class="quiet">no text yet</span>' if stage.kept.rows else "<b>0</b> kept"
    text = bar(_byte_parts(stage, most_bytes), f"{stage.name}: {size(stage.kept.text_bytes)} of text kept", 16)
    return (
        f'<div class="funnel-row">{name}'
        f'<div>{rows}<p class="under"><span><b>{count(stage.kept.rows)}</b> kept</span>{_reasons(stage)}</p></div>'
        f'<div>{text}<p class="under">{said}</p></div></div>'
    )


def _spoken(stage: StageView) -> str:
    gone = sum(amount.rows for amount in stage.removed.values())
    lost = sum(amount.rows for amount in stage.quarantined.values())
    return (
        f"{stage.name}: {count(stage.taken.rows)} documents in, {count(stage.kept.rows)} kept, {count(gone)} removed, "
        f"{count(lost)} quarantined"
    )


def _row_parts(stage: StageView, most: int) -> list[Segment]:
    total = stage.taken.rows
    parts = [
        _segment(stage.kept.rows, most, "kept", f"kept: {count(stage.kept.rows)} ({percent(stage.kept.rows, total)})")
    ]
    for index, (reason, amount) in enumerate(stage.removed.items()):
        title = f"{reason}: {count(amount.rows)} removed ({percent(amount.rows, total)})"
        parts.append(_segment(amount.rows, most, f"gone{index % NUM_SHADES}", title))
    for kind, amount in stage.quarantined.items():
        title = f"{kind}: {count(amount.rows)} quarantined ({percent(amount.rows, total)})"
        parts.append(_segment(amount.rows, most, "quarantined", title))
    return parts


def _byte_parts(stage: StageView, most: int) -> list[Segment]:
    kept = stage.kept.text_bytes
    parts = [_segment(kept, most, "kept-text", f"kept: {size(kept)}")]
    for index, (reason, amount) in enumerate(stage.removed.items()):
        title = f"{reason}: {size(amount.text_bytes)} removed"
        parts.append(_segment(amount.text_bytes, most, f"gone{index % NUM_SHADES}", title))
    for kind, amount in stage.quarantined.items():
        parts.append(_segment(amount.text_bytes, most, "quarantined", f"{kind}: {size(amount.text_bytes)} quarantined"))
    if stage.edited_bytes < 0:
        cut = -stage.edited_bytes
        parts.append(_segment(cut, most, "edited", f"cut inside kept documents: {size(cut)}"))
    return parts


def _segment(amount: int, most: int, kind: str, title: str) -> Segment:
    return Segment(share=amount / most if most else 0.0, kind=kind, title=title)


def _reasons(stage: StageView) -> str:
    """The largest reasons in words; the rest are in the accounting table."""
    named = [
        f'<span class="reason"><i class="key gone{index % NUM_SHADES}"></i>{escape(words(reason))}{THIN}'
        f"{count(amount.rows)}</span>"
        for index, (reason, amount) in enumerate(stage.removed.items())
    ]
    lost = sum(amount.rows for amount in stage.quarantined.values())
    listed = named[:3] + ([f'<span class="reason">{len(named) - 3} more reasons</span>'] if len(named) > 3 else [])
    if len(named) == 4:
        listed = named
    if lost:
        listed.append(f'<span class="reason"><i class="key quarantined"></i>quarantined{THIN}{count(lost)}</span>')
    return "".join(f" {item}" for item in listed)


def _text_change(stage: StageView) -> str:
    if stage.edited_bytes < 0:
        return f' <span class="reason"><i class="key edited"></i>{size(-stage.edited_bytes)} cut inside</span>'
    if stage.edited_bytes > 0 and stage.taken.text_bytes:
        return f' <span class="reason">{size(stage.edited_bytes)} new</span>'
    return ""


def _accounting(run: RunView, done: list[StageView]) -> str:
    per_token = run.bytes_per_token
    pool_rows = done[0].taken.rows if done else 0
    rows: list[TableRow] = []
    for stage in done:
        rows += _accounting_lines(stage, per_token, pool_rows)
    heads = ["", "Documents", "of stage", "of pool", "Text", "≈ Tokens"]
    if math.isnan(per_token):
        heads = heads[:-1]
        note = "No token counts: this run has not tokenized."
    else:
        note = (
            f"Tokens are estimated as bytes of text ÷ {per_token:.3f} bytes per token, as measured by tokenize "
            f"({count(run.tokens)} tokens counted)."
        )
    skipped = [f"{words(name)} {count(number)}" for stage in done for name, number in _notes(stage)]
    note += f" Skipped, being no documents: {', '.join(skipped)}." if skipped else ""
    caption = f"Accounting of {run.label}: in = kept + removed by reason + quarantined by error, for every stage"
    return table(caption, heads, rows) + (
        f'<p class="note">For every stage, documents in = kept + removed + quarantined. {escape(note)} Text is '
        "counted as it entered the stage, kept text as it left.</p>\n"
    )


def _accounting_lines(stage: StageView, per_token: float, pool_rows: int) -> list[TableRow]:
    def line(name: str, amount: Amount, kind: str) -> TableRow:
        whole_rows = [data(amount.rows, count(amount.rows))]
        whole_rows += [percent(amount.rows, stage.taken.rows), percent(amount.rows, pool_rows)]
        rows = ["", "", ""] if name == _edit_name(stage) else whole_rows
        cells = [name, *rows, data(amount.text_bytes, size(amount.text_bytes))]
        if not math.isnan(per_token):
            tokens = amount.text_bytes / per_token
            cells.append(f"≈{THIN}{short_count(tokens)}" if tokens else "–")
        return TableRow(cells=cells, kind=kind, cell_titles={4: f"{count(amount.text_bytes)} bytes"})

    balance = (
        f'<span class="bad">✗ {count(abs(stage.lost_rows))} unaccounted for</span>'
        if stage.lost_rows
        else '<span class="good" title="in = kept + removed + quarantined">✓</span>'
    )
    lines = [line(f"{escape(stage.name)} {balance}", stage.taken, "stage-in")]
    for reason, amount in stage.removed.items():
        lines.append(line(f"− {escape(reason)}", amount, "out removed"))
    for kind, amount in stage.quarantined.items():
        lines.append(line(f"− quarantined: {escape(kind)}", amount, "out lost"))
    if stage.edited_bytes:
        lines.append(line(_edit_name(stage), Amount(text_bytes=abs(stage.edited_bytes)), "out"))
    return [*lines, line("= kept", stage.kept, "out total")]


def _edit_name(stage: StageView) -> str:
    if stage.edited_bytes > 0:
        return "+ text added to kept documents" if stage.taken.text_bytes else "+ text extracted"
    return "− text cut inside kept documents"


def _notes(stage: StageView) -> list[tuple[str, int]]:
    """Records that the source counted as skipped, because they are not documents."""
    notes = as_dict(stage.details.get("notes"))
    return [(str(name), whole(value)) for name, value in sorted(notes.items()) if whole(value)]
