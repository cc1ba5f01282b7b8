"""The command line: thin, with imports inside the commands so that `tamis --help` is instant."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tamis import __version__
from tamis.base.errors import ConfigError, TamisError

app = typer.Typer(
    help="Curate a web crawl, train a fixed model on what is left, and compare the result with an interval.\n\n"
    "Start with:  tamis demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

OutputDir = Annotated[Path | None, typer.Option("--output", "-o", help="Run directory; the default is runs/<recipe>.")]
Workers = Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Processes; the default is one per core.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only errors and results.")]
RunPath = Annotated[Path, typer.Argument(help="Run directory.")]


def main() -> None:
    """Entry point: known errors become one message and an exit code, never a traceback."""
    try:
        app()
    except TamisError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tamis {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _workers(asked: int | None) -> int:
    return asked or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else asked or os.cpu_count() or 1


def _engine(name: str) -> Literal["local", "ray"]:
    if name == "local":
        return "local"
    if name == "ray":
        return "ray"
    raise ConfigError(f"--engine {name}: give local or ray")


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _stopped() -> typer.Exit:
    typer.echo("stopped; finished shards are kept. Run the same command again to go on.", err=True)
    return typer.Exit(130)


@app.command(epilog="Example:  tamis demo --output demo")
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything the demo makes.")] = Path(
        "demo"
    ),
    pool: Annotated[
        list[str] | None, typer.Option(help="WARC files to use instead of this machine's documentation.")
    ] = None,
    crawl: Annotated[
        str | None, typer.Option(help="Use the first pages of this Common Crawl crawl, as CC-MAIN-2022-49.")
    ] = None,
    pages: Annotated[int, typer.Option(help="How many pages to take.", min=100)] = 7000,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """The whole story in a few minutes, offline: crawl, two recipes, two models, one comparison, one report."""
    from tamis.console.display import Display
    from tamis.demo import DemoConfig, run_demo

    config = DemoConfig(output=output, pool=pool or [], crawl=crawl, pages=pages, num_workers=_workers(workers))
    with Display(quiet) as display:
        try:
            report = run_demo(config, display.on_event, display.say)
        except KeyboardInterrupt:
            raise _stopped() from None
    typer.echo(f"report: {report.resolve()}")


@app.command(
    epilog="Examples:  tamis run dclm-baseline --pool crawl/*.warc.gz   |   "
    "tamis run mine.yaml --set filter.min_words=40 --until filter --dry-run"
)
def run(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")],
    pool: Annotated[
        list[str] | None,
        typer.Option(help="WARC, WET, JSONL or Parquet: files, folders, globs or URIs; may be repeated."),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(help="More pool files, so that --pool *.warc.gz works.")] = None,
    output: OutputDir = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path.to.field=value, as filter.min_words=40; may be repeated.")
    ] = None,
    workers: Workers = None,
    engine: Annotated[str, typer.Option(help="local, or ray: the cluster at RAY_ADDRESS, or one made here.")] = "local",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and the cost, do nothing.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Curate a pool with a recipe (and train and evaluate, where the recipe says so). Run again to resume."""
    from tamis import flow
    from tamis.console.display import Display
    from tamis.console.tables import books_table, print_table
    from tamis.store.rundir import RunDir

    raw = flow.load_recipe(recipe)
    for assignment in settings or []:
        flow.override(raw, assignment)
    inputs = [*(pool or []), *(more or [])]
    story = flow.resolve(raw, inputs, until)
    place = output or Path("runs") / story.recipe.name
    if dry_run:
        from tamis.console.cost import print_plan

        print_plan(story.plan(), RunDir(place), _workers(workers), as_json)
        return
    with Display(quiet or as_json) as display:
        try:
            done = flow.run_recipe(story, place, _workers(workers), display.on_event, _engine(engine))
        except KeyboardInterrupt:
            raise _stopped() from None
    if as_json:
        _print_json({"output": str(place), "stages": {name: card.to_dict() for name, card in done.cards()}})
    else:
        print_table(books_table(done.cards()))
        typer.echo(f"run: {place.resolve()}")


@app.command(epilog="Example:  tamis status runs/dclm-baseline")
def status(path: RunPath, as_json: AsJson = False) -> None:
    """The books of a run: per stage, documents in, kept, removed by reason, quarantined by error."""
    from tamis.console.tables import books_table, print_table
    from tamis.store.rundir import open_run

    opened = open_run(path)
    events = opened.read_events()
    last: dict[str, Any] = next(
        (e for e in reversed(events) if e["kind"] in ("run_started", "run_finished", "run_failed")), {}
    )
    state = {"run_finished": "finished", "run_failed": "failed"}.get(last.get("kind", ""), "unfinished")
    if as_json:
        stages = {name: card.to_dict() for name, card in opened.cards()}
        _print_json({"run": str(path), "state": state, "error": last.get("error"), "stages": stages})
        return
    print_table(books_table(opened.cards()))
    typer.echo(f"{path}: {state}" + (f" ({last['error']})" if "error" in last else ""))


@app.command(epilog="Example:  tamis why https://json.docs.example/json.html --run runs/dclm-baseline")
def why(
    key: Annotated[str, typer.Argument(help="A document's id, or its URL as crawled.")],
    run_dir: Annotated[Path, typer.Option("--run", "-r", help="Run directory.")] = Path("runs/dclm-baseline"),
    as_json: AsJson = False,
) -> None:
    """Why a page was kept or removed: every step's signals against its thresholds, the reason, and the text."""
    from tamis.console.tables import print_story
    from tamis.runner.why import explain
    from tamis.store.rundir import open_run

    stories = explain(open_run(run_dir), key)
    if as_json:
        _print_json([story.to_dict() for story in stories])
        return
    for story in stories:
        print_story(story.to_dict())


@app.command(epilog="Example:  tamis report runs/raw runs/dclm-baseline --output report.html")
def report(
    paths: Annotated[list[Path], typer.Argument(help="One or more run directories; two evaluated ones are compared.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file; the default is report.html in the last run.")
    ] = None,
) -> None:
    """One self-contained HTML page: funnel, signals with their cut-offs, loss, scores with intervals, examples."""
    from tamis import products

    typer.echo(f"report: {products.write_report(paths, output).resolve()}")


@app.command(epilog="Examples:  tamis dups runs/mine   |   tamis dups runs/mine --cluster 3f0c… --json")
def dups(
    path: RunPath,
    stage: Annotated[str | None, typer.Option(help="Which dedup step, as 04_dedup; the default is the last.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Only the documents removed for this survivor's id.")] = None,
    top: Annotated[int, typer.Option(help="How many clusters, pairs, lines and hosts to show.", min=1)] = 20,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML page; the default is dups.html in the run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What dedup found: clusters, pairs side by side with the differing words marked, most repeated lines and hosts."""
    from tamis import products
    from tamis.console.tables import clusters_table, print_table

    found, page = products.show_duplicates(path, stage, cluster, top, output)
    if as_json:
        _print_json(found)
        return
    print_table(clusters_table(found))
    typer.echo(f"page: {page.resolve()}")


@app.command(epilog="Example:  tamis compare runs/raw runs/dclm-baseline")
def compare(
    a: Annotated[Path, typer.Argument(help="Run directory of A.")],
    b: Annotated[Path, typer.Argument(help="Run directory of B.")],
    as_json: AsJson = False,
) -> None:
    """Which of two evaluated runs is better: the paired difference on every task, with a 95 % interval."""
    from tamis import products
    from tamis.console.tables import print_comparison

    result = products.compare_runs(a, b)
    if as_json:
        _print_json(result)
    else:
        print_comparison(result)


@app.command(epilog="Example:  tamis train runs/dclm-baseline --scale nano")
def train(
    path: RunPath,
    scale: Annotated[str, typer.Option(help="nano, 2m, 10m, 50m, 150m, or DCLM's 400m-1x … 7b-2x.")] = "nano",
    tokens: Annotated[int | None, typer.Option(help="Training tokens; the default is the scale's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="field=value of the training settings, as seed=1.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train a model of a fixed scale on a run's tokens. Run again to resume."""
    from tamis import products
    from tamis.console.display import Display
    from tamis.store.rundir import open_run

    config: dict[str, Any] = {"scale": scale} | ({"tokens": tokens} if tokens else {})
    with Display(quiet) as display:
        try:
            products.train_model(open_run(path), config | products.parse_fields(settings or []), display.on_event)
        except KeyboardInterrupt:
            raise _stopped() from None
    typer.echo(f"model: {(path / 'train').resolve()}")


@app.command(name="eval", epilog="Example:  tamis eval runs/dclm-baseline --heldout heldout/tasks")
def evaluate(
    path: RunPath,
    heldout: Annotated[Path, typer.Option(help="Folder of held-out tasks, made by `tamis heldout`.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="field=value of the evaluation settings.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a run's model: bits per byte on held-out pages, and choosing a page's true continuation."""
    from tamis import products
    from tamis.console.display import Display
    from tamis.console.tables import print_table, scores_table
    from tamis.store.rundir import open_run

    opened = open_run(path)
    with Display(quiet or as_json) as display:
        products.evaluate_model(opened, heldout, products.parse_fields(settings or []), display.on_event)
    results = products.read_scores(opened)
    if as_json:
        _print_json(results)
    else:
        print_table(scores_table(results))


@app.command(epilog="Example:  tamis heldout runs/heldout --output runs/heldout/tasks")
def heldout(
    path: RunPath,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the tasks; the default is RUN/tasks.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
) -> None:
    """Make held-out tasks from a run of the `heldout` recipe: pages for bits per byte, and a continuation choice."""
    from tamis import products
    from tamis.store.rundir import open_run

    typer.echo(f"tasks: {products.make_heldout(open_run(path), output, seed).resolve()}")


@app.command(epilog="Example:  tamis tokenizer runs/raw --vocab-size 2048 --output tokenizer.json")
def tokenizer(
    path: RunPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the tokenizer.")],
    vocab_size: Annotated[int, typer.Option(help="Entries of the vocabulary.", min=300)] = 2048,
) -> None:
    """Train a byte-level BPE tokenizer on a run's documents."""
    from tamis import products
    from tamis.store.rundir import open_run

    typer.echo(f"tokenizer: {products.make_tokenizer(open_run(path), output, vocab_size).resolve()}")


@app.command(epilog="Examples:  tamis fetch --list   |   tamis fetch lid176")
def fetch(
    name: Annotated[str | None, typer.Argument(help="Asset to download.")] = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="Show every asset: size, licence, where it is cached.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download a model, word list or tokenizer that a recipe can use."""
    from tamis import fetch as assets
    from tamis.console.tables import assets_table, print_table

    if list_all or name is None:
        rows = assets.rows()
        _print_json(rows) if as_json else print_table(assets_table(rows))
        return
    if not name.strip():
        raise ConfigError("fetch: give an asset's name; `tamis fetch --list` shows them")
    typer.echo(f"{name}: {assets.fetch(name, on_progress=_download_progress(name))}")


def _download_progress(name: str) -> Callable[[int, int | None], None]:
    """A line per 5 % (or per 50 MB where the size is not known)."""
    last: list[int] = [-1]

    def show(done: int, total: int | None) -> None:
        step = done * 20 // total if total else done // 50_000_000
        if step != last[0]:
            last[0] = step
            typer.echo(f"{name}: {done / 1e6:,.1f} of {total / 1e6 if total else float('nan'):,.1f} MB", err=True)

    return show


bench = typer.Typer(help="Measure Tamis on your own data.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@bench.command(epilog="Example:  tamis bench extract --warc pages.warc.gz --truth truth.jsonl")
def extract(
    warc: Annotated[Path, typer.Option(help="Pages, as WARC.")],
    truth: Annotated[
        Path, typer.Option(help="What a good extraction of them holds: JSONL with url, body, with, without.")
    ],
    engines: Annotated[str, typer.Option(help="Names, parted by commas; the default is all that are installed.")] = "",
    limit: Annotated[int | None, typer.Option(help="Only so many pages.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare extraction engines: token F1, segments kept and dropped, pages per second."""
    from tamis import lab

    names = [name.strip() for name in engines.split(",") if name.strip()] or lab.installed_engines()
    rows = lab.compare(warc, truth, names, limit)
    _print_json(rows) if as_json else typer.echo(lab.format_table(rows))


@app.command()
def recipes() -> None:
    """The recipes shipped with the package."""
    from tamis import flow

    for name in flow.recipe_names():
        typer.echo(f"{name:24} {flow.load_recipe(name).get('description', '')}")
