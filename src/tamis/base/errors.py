"""The errors that a user can see, and what each of them means for the run.

Every message names what was wrong, where, and what to do next; the command line prints it without a traceback and exits
with `exit_code`. Any other exception is a defect of Tamis, or of a stage of the user's own; it becomes an
UnexpectedError.
"""

import difflib
import traceback
from collections.abc import Iterable
from typing import Self


class TamisError(Exception):
    """Base of every error shown to the user as one message."""

    exit_code = 1


class ConfigError(TamisError):
    """The user's mistake: a recipe, an option, a missing extra. Raised before any work starts."""

    exit_code = 2


class DataError(TamisError):
    """Broken input that cannot be quarantined row by row: an unreadable file, an empty pool."""

    exit_code = 3


class NoRowError(DataError):
    """Raised by a stage in `apply` for a trouble that no row is to blame for: it ends the run."""


class ShardAgainError(NoRowError):
    """Raised by a stage in `apply`: what it did to the batches of this shard is in doubt, for the reason given. The
    runner does the shard again, and asks for the reference engine (`base.stage.REFERENCE_KEY`)."""


class FormatError(DataError):
    """The content of a file is not of the format that it should have, so that reading it again would not help."""


class BudgetError(TamisError):
    """A step lost more than the recipe allows: it quarantined more rows than `quarantine_budget`, or removed nearly all
    of a large source that `allow_sources` does not name."""

    exit_code = 4


class StorageError(TamisError):
    """Output could not be written: disk full, no permission."""

    exit_code = 5


class UnexpectedError(TamisError):
    """Any other exception, in one line, with its `trace` for whoever looks for the defect."""

    def __init__(self, what: str, trace: str) -> None:
        super().__init__(what, trace)
        self.what, self.trace = what, trace

    def __str__(self) -> str:
        return self.what

    @classmethod
    def of(cls, error: BaseException) -> Self:
        return cls(failure_text(error), "".join(traceback.format_exception(error)))


def kept_trace(error: UnexpectedError, place: object) -> TamisError:
    """What a user is told about an unexpected error whose trace lies at `place`."""
    return TamisError(
        f"unexpected {error.what}. This is a defect of Tamis, or of a stage of your own. The full trace is in {place}; "
        "what is finished is kept. Please report it with that file."
    )


MAX_FAILURE_CHARACTERS = 500


def failure_text(error: BaseException) -> str:
    """`kind: detail` of an exception in one line that can be stored, however long and strange its message is."""
    try:
        detail = str(error)
    except Exception:  # noqa: BLE001 - the exception of a stage of the user's own may fail in any way
        detail = "(its message cannot be shown)"
    line = " ".join(detail[: 2 * MAX_FAILURE_CHARACTERS].split())
    if len(line) > MAX_FAILURE_CHARACTERS:
        line = line[:MAX_FAILURE_CHARACTERS] + "…"
    return f"{type(error).__name__}: {line}".encode("utf-8", "replace").decode()


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """A hint such as ` (did you mean 'filter'? valid: extract, filter)`, with the nearest valid name first."""
    names = sorted(valid)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    guess = f"did you mean '{near[0]}'? " if near else ""
    return f" ({guess}valid: {', '.join(names)})"
