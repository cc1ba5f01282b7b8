"""The application object, the options that commands share, and what they begin with."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tamis import __version__
from tamis.base.errors import ConfigError
from tamis.console.terminal import echo

if TYPE_CHECKING:
    from tamis.commands import Session
    from tamis.console.display import Display

app = typer.Typer(
    help="Curate a web crawl in several ways, train a fixed model on each, and compare them with an interval.\n\n"
    "Start with:  tamis demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

WorkspaceDir = Annotated[
    str, typer.Option("--workspace", help="Folder or URI (s3://…) that holds all runs and what they share.")
]
Workers = Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Processes; the default is one per core.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only errors and results.")]
EngineOption = Annotated[str, typer.Option(help="local, or ray: the cluster at RAY_ADDRESS, or one made here.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and the cost, do nothing.")]
RunPath = Annotated[str, typer.Argument(metavar="RUN", help="Run directory, as runs/dclm-baseline.")]
Pool = Annotated[
    list[str] | None, typer.Option(help="WARC, WET, JSONL or Parquet: files, folders, globs or URIs; may be repeated.")
]
MorePool = Annotated[list[str] | None, typer.Argument(help="More pool files, so that --pool *.warc.gz works.")]
DEFAULT_WORKSPACE = "runs"


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"tamis {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def number_of_workers(asked: int | None) -> int:
    return asked or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else asked or os.cpu_count() or 1


def engine_name(name: str) -> Literal["local", "ray"]:
    if name == "local":
        return "local"
    if name == "ray":
        return "ray"
    raise ConfigError(f"--engine {name}: give local or ray")


def show(quiet: bool) -> "Display":
    from tamis.console.display import Display

    return Display(quiet)


def session_in(place: str, workers: int | None, display: "Display", engine: str = "local") -> "Session":
    """A session in the workspace at `place`, which is made if it is not there."""
    from tamis.commands import Session
    from tamis.store.location import Location
    from tamis.store.workspace import open_workspace

    workspace = open_workspace(Location(place))
    return Session(
        workspace=workspace,
        num_workers=number_of_workers(workers),
        on_event=display.on_event,
        engine=engine_name(engine),
    )


def session_of_run(run: str, display: "Display") -> tuple["Session", Any]:
    """An existing run, and a session in its workspace."""
    from tamis.commands import Session
    from tamis.store.rundir import open_run

    opened = open_run(run)
    return Session(workspace=opened.workspace, num_workers=number_of_workers(None), on_event=display.on_event), opened


def _stopped() -> typer.Exit:
    echo("stopped; what is finished is kept. Run the same command again to go on.", err=True)
    return typer.Exit(130)


def interruptible(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except KeyboardInterrupt:
        raise _stopped() from None
