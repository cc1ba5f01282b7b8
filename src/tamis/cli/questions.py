"""Questions to finished runs about their pages: sample and diff."""

from typing import Annotated

import typer

from tamis.cli.options import AsJson, RunPath, app, interruptible
from tamis.console.terminal import echo_json


@app.command(
    epilog="Examples:  tamis sample runs/mine   |   tamis sample runs/mine --stage filter -n 3   |   "
    "tamis sample runs/mine --reason too_few_words --borderline"
)
def sample(
    path: RunPath,
    outcome: Annotated[
        str, typer.Option(help="kept, removed or quarantined; the default is removed with --stage or --reason.")
    ] = "",
    stage: Annotated[str, typer.Option(help="Only what this step removed, as filter or 03_filter.")] = "",
    reason: Annotated[str, typer.Option(help="Only what was removed for this reason.")] = "",
    language: Annotated[str, typer.Option(help="Only pages in this language, as the run measured it: en.")] = "",
    host: Annotated[str, typer.Option(help="Only pages of this host, as docs.example.org.")] = "",
    borderline: Annotated[
        bool, typer.Option("--borderline", help="The pages nearest to each threshold, on both sides.")
    ] = False,
    number: Annotated[int, typer.Option("--number", "-n", help="Pages per group, at most 1,000.")] = 5,
    seed: Annotated[int, typer.Option(help="Another seed gives another sample.")] = 0,
    as_json: AsJson = False,
) -> None:
    """A random sample of what a run kept, or removed by step and reason, with the signals that decided."""
    from tamis.console.questions import print_borderline, print_samples
    from tamis.questions import sample as questions
    from tamis.store.rundir import open_run

    opened = open_run(path)
    wanted = questions.Wanted(
        outcome=outcome, step=stage, reason=reason, language=language, host=host, number=number, seed=seed
    )
    if borderline:
        rules = [each.to_dict() for each in interruptible(lambda: questions.borderline(opened, wanted))]
        echo_json(rules) if as_json else print_borderline(rules)
    else:
        groups = [each.to_dict() for each in interruptible(lambda: questions.sample(opened, wanted))]
        echo_json(groups) if as_json else print_samples(groups)


@app.command(epilog="Examples:  tamis diff runs/raw runs/mine   |   tamis diff runs/mine runs/mine-strict --json")
def diff(
    first: Annotated[str, typer.Argument(metavar="RUN", help="Run directory.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The run that it is compared with.")],
    number: Annotated[
        int, typer.Option("--number", "-n", help="Pages shown per step and reason.", min=0, max=1000)
    ] = 2,
    seed: Annotated[int, typer.Option(help="Another seed shows other pages.")] = 0,
    as_json: AsJson = False,
) -> None:
    """What two runs do differently: settings, accounting side by side, pages that only one kept, and why."""
    from tamis.console.questions import print_diff
    from tamis.questions.diff import diff as difference
    from tamis.store.rundir import open_run

    found = interruptible(lambda: difference(open_run(first), open_run(second), number, seed))
    echo_json(found) if as_json else print_diff(found)
