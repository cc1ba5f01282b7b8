"""How many mutated inputs each fuzzer tries: 2,000 in every test run, more when the environment asks for them."""

import os

VARIABLE = "TAMIS_FUZZ_CASES"
DEFAULT = 2000


def num_cases() -> int:
    """The number of cases for each decoder or format: the environment variable TAMIS_FUZZ_CASES, 2,000 without it."""
    value = os.environ.get(VARIABLE, str(DEFAULT))
    assert value.isascii() and value.isdigit() and int(value) > 0, f"{VARIABLE}={value!r}: give a positive number"
    return int(value)
