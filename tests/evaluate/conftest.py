"""Fixtures of the evaluation tests."""

import pytest
from evaluate_fakes import make_pages


@pytest.fixture
def pages() -> list[dict[str, str]]:
    return make_pages()
