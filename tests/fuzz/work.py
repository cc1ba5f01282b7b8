"""Counts what decoders are made to do, so that tests can tell linear from quadratic without a clock."""

import types
import zlib
from typing import Any

import pytest
import zstandard

from tamis.store import http_body


class Work:
    """Bytes fed to decoders and handed back by them, and how often the pieces that they return are measured."""

    def __init__(self) -> None:
        self.bytes = self.feeds = self.measured = 0


class Piece(bytes):
    """A decoded piece that counts how often its length is asked for."""

    work: Work

    def __len__(self) -> int:
        self.work.measured += 1
        return super().__len__()


class Counted:
    """A decoder of zlib or zstandard that counts."""

    def __init__(self, decoder: Any, work: Work) -> None:
        self._decoder = decoder
        self._work = work

    def decompress(self, data: Any, *args: Any) -> bytes:
        self._work.feeds += 1
        self._work.bytes += len(data)
        piece = Piece(self._decoder.decompress(data, *args))
        piece.work = self._work
        return piece

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._decoder.unused_data
        self._work.bytes += len(unused)
        return unused

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)


def count_work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Make the decoders of `http_body` count."""
    work = Work()
    monkeypatch.setattr(http_body, "zlib", types.SimpleNamespace(
        decompressobj=lambda *args: Counted(zlib.decompressobj(*args), work), error=zlib.error,
    ))  # fmt: skip
    context = zstandard.ZstdDecompressor()
    decompressor = types.SimpleNamespace(
        decompressobj=lambda **options: Counted(context.decompressobj(**options), work)
    )
    monkeypatch.setattr(http_body, "zstandard", types.SimpleNamespace(
        ZstdDecompressor=lambda: decompressor, ZstdError=zstandard.ZstdError,
        frame_content_size=zstandard.frame_content_size,
    ))  # fmt: skip
    return work
