"""Fixtures of the training tests: the tiny dataset, and an undisturbed training on it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from training_data import train, write_tokens

from tamis.store.location import Location


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Location:
    """A tokens folder of 6,400 tokens."""
    return write_tokens(tmp_path_factory.mktemp("dataset") / "tokens")


@pytest.fixture(scope="session")
def undisturbed(tokens: Location, tmp_path_factory: pytest.TempPathFactory) -> Location:
    """The output of a training on `tokens` that nothing interrupted."""
    pytest.importorskip("torch")
    output = Location(tmp_path_factory.mktemp("undisturbed") / "train")
    train(tokens, output)
    return output
