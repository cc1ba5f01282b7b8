"""Fixtures shared by all tests."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real crawls and reference answers that lie beside a development checkout; a user's machine has none."""
    place = Path(os.environ.get("TAMIS_SHARED_DATA", Path(__file__).parents[2] / "shared"))
    if not (place / "data").is_dir():
        pytest.skip(f"development data not found at {place} (set TAMIS_SHARED_DATA to its folder)")
    return place
