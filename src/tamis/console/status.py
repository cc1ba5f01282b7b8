"""The output of `tamis status`: accounting, sizes and paths of every stage of a run, and the models and evaluations
made from it."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from tamis.base.cards import Card
from tamis.console.formats import size_text
from tamis.console.sources import check_kind, sources_table
from tamis.console.tables import print_table, reasons_cell
from tamis.console.terminal import echo
from tamis.store.rundir import Product, RunDir
from tamis.store.tokens import read_manifest


def status_data(run: RunDir) -> dict[str, Any]:
    """The run as data.

    `stages` has for every step, in order, its card, whether it is finished, the path of its artefact and, after
    tokenize, `tokens`. `models` and `evaluations` were made from the run: `stale` says whether they were made from
    other data than the run has now, and is None where that is not known because the run has no token shards now.
    """
    state, error = run.state()
    data = _data_fingerprint(run)
    return {
        "run": str(run.root),
        "recipe": run.name if run.recipe.exists() else None,
        "state": state,
        "error": error or None,
        "stages": _stages(run),
        "data": data,
        "models": [_product(run, product, data) for product in run.products("model")],
        "evaluations": [_product(run, product, data) for product in run.products("evaluation")],
    }


def _data_fingerprint(run: RunDir) -> str | None:
    """Fingerprint of the token shards that the run has now."""
    folder = run.tokens()
    return None if folder is None else str(read_manifest(folder)["fingerprint"])


def _stages(run: RunDir) -> dict[str, dict[str, Any]]:
    cards = dict(run.cards())
    found: dict[str, dict[str, Any]] = {}
    for step in run.steps():
        folder = run.stage(step)
        manifest = folder.tokens / "manifest.json"
        entry = {
            "finished": step in cards,
            "artefact": str(folder.root),
            "tokens": int(read_manifest(folder.tokens)["num_tokens"]) if manifest.exists() else None,
        }
        found[step] = entry | (cards[step].to_dict() if step in cards else {})
    return found


def _product(run: RunDir, product: Product, data: str | None) -> dict[str, Any]:
    made_from = product.settings.get("data")
    return {
        "artefact": str(run.workspace.artefact(product.artefact)),
        "settings": product.settings,
        "stale": None if data is None or made_from is None else made_from != data,
    }


def print_status(run: RunDir, all_reasons: bool = False, by: Sequence[str] = ()) -> None:
    """Print the status as text. `all_reasons`: all reasons of each stage, and all sources on its card, instead of the
    five largest. `by`: kinds of source to show besides languages."""
    kinds = [*dict.fromkeys(map(check_kind, by)), *(() if "language" in by else ("language",))]
    status, cards = status_data(run), run.cards()
    print_table(_stage_table(status["stages"], dict(cards), all_reasons))
    for kind in kinds:
        table = sources_table(cards, kind, all_reasons)
        if table is not None:
            echo(f"\nby {kind}, of the steps that removed documents:" if not all_reasons else f"\nby {kind}:")
            print_table(table)
        elif kind in by:
            echo(f"\nby {kind}: no step that removed documents has counted them so")
    echo("\nartefacts:")
    for step, stage in status["stages"].items():
        echo(f"  {step}: {stage['artefact']}" + ("" if stage["finished"] else " (not finished)"))
    for kind in ("models", "evaluations"):
        if status[kind]:
            echo(f"{kind}:")
        for product in status[kind]:
            echo(f"  {product['artefact']}{_settings_text(product['settings'])}{_stale_text(product)}")
    error = f" ({status['error']})" if status["error"] else ""
    echo(f"{status['run']}: {status['state']}{error}")


def _stage_table(stages: dict[str, dict[str, Any]], cards: dict[str, Card], all_reasons: bool) -> Table:
    table = Table("stage", box=None, pad_edge=False)
    for name in ("in", "kept", "removed", "quarantined", "text in", "text kept", "tokens"):
        table.add_column(name, justify="right")
    table.add_column("reasons")
    for step, stage in stages.items():
        counts = cards[step].accounting if step in cards else None
        if counts is None:
            table.add_row(step, *[""] * 7, "" if stage["finished"] else "not finished")
            continue
        numbers = (counts.rows_in, counts.kept, counts.removed.total(), counts.quarantined.total())
        tokens = "" if stage["tokens"] is None else f"{stage['tokens']:,}"
        table.add_row(
            step, *(f"{number:,}" for number in numbers), size_text(counts.bytes_in),
            size_text(counts.kept_bytes), tokens, reasons_cell(counts, all_reasons, "--all"),
        )  # fmt: skip
    return table


def _settings_text(settings: dict[str, Any]) -> str:
    """The settings that distinguish it from others of its kind, because fingerprints are hard to read."""
    told = ", ".join(f"{name} {value}" for name, value in settings.items() if name != "data")
    return f" ({told})" if told else ""


def _stale_text(product: dict[str, Any]) -> str:
    if product["stale"] is None:
        return ": not checked, because the run has no finished token shards now"
    return ": STALE, made from other data than the run has now" if product["stale"] else ""
