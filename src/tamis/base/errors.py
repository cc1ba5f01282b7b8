"""The errors that a user can see, and what each of them means for the run.

Every message names what was wrong, where, and what to do next; the command line prints it without a traceback and exits
with `exit_code`. Any other exception is a defect of Tamis.
"""

import difflib
from collections.abc import Iterable


class TamisError(Exception):
    """Base of every error shown to the user as one message."""

    exit_code = 1


class ConfigError(TamisError):
    """The user's mistake: a recipe, an option, a missing extra. Raised before any work starts."""

    exit_code = 2


class DataError(TamisError):
    """Broken input that cannot be quarantined row by row: an unreadable file, an empty pool."""

    exit_code = 3


class FormatError(DataError):
    """The content of a file is not of the format that it should have, so that reading it again would not help."""


class BudgetError(TamisError):
    """More rows were quarantined than the recipe's `quarantine_budget` allows."""

    exit_code = 4


class StorageError(TamisError):
    """Output could not be written: disk full, no permission."""

    exit_code = 5


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """A hint such as ` (did you mean 'filter'? valid: extract, filter)`, with the nearest valid name first."""
    names = sorted(valid)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    guess = f"did you mean '{near[0]}'? " if near else ""
    return f" ({guess}valid: {', '.join(names)})"
