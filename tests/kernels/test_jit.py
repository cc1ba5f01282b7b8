"""The key of the kernel cache: every kernel source counts, in whatever package it stands, and no twin does."""

from pathlib import Path

import pytest

from tamis.kernels import GROUPS, jit


def test_kernel_sources_are_found_in_every_package_but_not_among_the_twins() -> None:
    package = Path(jit.__file__).parent
    sources = {path.as_posix() for path in jit.kernel_sources(package)}
    assert {f"{module.replace('.', '/')}.py" for module in GROUPS.values()} <= sources
    assert {"jit.py", "html/blocks.py", "fasttext/score.py"} <= sources
    assert not any(path.startswith("reference") for path in sources)


def test_a_changed_kernel_below_the_package_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = tmp_path / "text" / "words.py"
    kernel.parent.mkdir()
    kernel.write_text("one")
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    before = jit.source_digest.__wrapped__()
    kernel.write_text("two")
    assert jit.source_digest.__wrapped__() != before
