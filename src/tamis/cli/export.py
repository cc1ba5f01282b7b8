"""The command export: the documents of a run as files for other programs, with a dataset card."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamis.cli.options import AsJson, DryRun, Quiet, RunPath, Workers, app, interruptible, number_of_workers, show
from tamis.console.terminal import echo, echo_json

if TYPE_CHECKING:
    from tamis.export.plan import ExportPlan
    from tamis.export.written import Exported


@app.command(
    epilog="Examples:  tamis export runs/gopher parquet --output gopher-data --license odc-by   |   "
    "tamis export runs/gopher dolma --output s3://bucket/gopher --stage filter --documents-per-file 100000"
)
def export(
    path: RunPath,
    layout: Annotated[str, typer.Argument(metavar="FORMAT", help="parquet, dclm, dolma or datatrove.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder or URI (s3://…) outside the workspace: new or empty.")
    ],
    stage: Annotated[
        str | None, typer.Option(help="Documents that this stage kept, as filter; the default is the last.")
    ] = None,
    compression: Annotated[
        str | None, typer.Option(help="Of JSONL: gz or zst; the default is what the format's own tools write.")
    ] = None,
    documents_per_file: Annotated[
        int | None, typer.Option(min=1, help="Documents in a file; the default is a file per shard of the run.")
    ] = None,
    licence: Annotated[
        str, typer.Option("--license", help="Licence of the data for its card, as odc-by or cc-by-4.0.")
    ] = "unknown",
    workers: Workers = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a run's documents as Parquet, or JSONL of DCLM, Dolma or datatrove, with a dataset card and checksums. Run
    again to resume."""
    from tamis.base.events import Event
    from tamis.export.plan import Options, make_plan
    from tamis.export.write import check_folder
    from tamis.export.write import export as write_export
    from tamis.store.location import Location
    from tamis.store.remote import check_spelling
    from tamis.store.rundir import open_run

    check_spelling(output, "--output")
    folder = Location(output).absolute()
    options = Options(
        layout=layout, stage=stage, compression=compression, documents_per_file=documents_per_file, licence=licence
    )
    plan = make_plan(open_run(path), options)
    if dry_run:
        check_folder(plan, folder)
        _print_plan(plan, str(folder), as_json)
        return
    with show(quiet or as_json) as display:

        def progress(done: int, total: int) -> None:
            fields = {"stage": "export", "done": done, "total": total, "unit": "files"}
            display.on_event(Event(kind="progress", fields=fields))

        done = interruptible(lambda: write_export(plan, folder, number_of_workers(workers), progress))
    _print_result(plan, done, as_json)


def _print_plan(plan: "ExportPlan", folder: str, as_json: bool) -> None:
    from tamis.console.formats import count_text, size_text

    accounting = plan.card.accounting
    assert accounting is not None
    files = [{"name": file.name, "documents": file.num_documents} for file in plan.files]
    if as_json:
        echo_json(_described(plan) | {"output": folder, "documents": plan.num_documents, "files": files})
        return
    echo(f"{plan.step} kept {count_text(plan.num_documents, 'document')}, {size_text(accounting.kept_bytes)} of text")
    shown = files if len(files) <= 3 else [files[0], files[-1]]
    for file in shown:
        echo(f"  {file['name']}: {count_text(int(str(file['documents'])), 'document')}")
    echo(f"{count_text(len(files), 'file')} would be written to {folder}; nothing was done")


def _described(plan: "ExportPlan") -> dict[str, Any]:
    return {"run": str(plan.run.root), "stage": plan.step, "format": plan.layout.name}


def _print_result(plan: "ExportPlan", done: "Exported", as_json: bool) -> None:
    from tamis.console.formats import count_text, size_text

    accounting = plan.card.accounting
    assert accounting is not None
    if as_json:
        files = [
            {"name": file.name, "documents": file.documents, "bytes": file.bytes, "sha256": file.sha256}
            for file in done.files
        ]
        found = {"documents": done.documents, "text_bytes": done.text_bytes, "bytes": done.bytes}
        counts = {"accounting": accounting.to_dict(), "written": done.written, "files": files}
        echo_json(_described(plan) | {"output": str(done.folder)} | found | counts)
        return
    lost = accounting.removed.total() + accounting.quarantined.total()
    echo(
        f"{plan.step}: {accounting.rows_in:,} documents in = {accounting.kept:,} kept + {lost:,} removed or quarantined"
    )
    echo(
        f"exported: {count_text(done.documents, 'document')}, {size_text(done.text_bytes)} of text in "
        f"{count_text(len(done.files), 'file')}, {size_text(done.bytes)}"
    )
    if not done.written:
        echo("every file was there already")
    elif done.written < len(done.files):
        echo(f"{count_text(len(done.files) - done.written, 'file')} of these had been written before")
    echo(f"export: {done.folder}")
