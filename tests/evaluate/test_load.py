"""Opening a checkpoint where what it needs is not installed."""

import sys

import pytest

from tamis.base.errors import ConfigError
from tamis.evaluate.load import load_model


def test_without_pytorch_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tamis.evaluate.torch_model", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"needs PyTorch: pip install 'tamis\[train\]'"):
        load_model("checkpoint")


def test_another_missing_package_is_not_taken_for_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tamis.evaluate.torch_model", raising=False)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModuleNotFoundError, match="tokenizers"):
        load_model("checkpoint")
