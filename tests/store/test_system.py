"""Memory figures, GPUs, and temporary folders."""

import errno
import mmap
import sys
from pathlib import Path

import pytest

from tamis.base.errors import StorageError
from tamis.store.scratch import scratch
from tamis.store.system import available_memory_bytes, peak_memory_bytes, resident_bytes, visible_gpus


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_resident_memory_follows_what_is_held() -> None:
    before = resident_bytes("self")
    held = mmap.mmap(-1, 64 << 20)  # an array could lie in memory that was freed and is still resident
    held.write(bytes(range(1, 255)) * (len(held) // 254))
    assert resident_bytes("self") - before > len(held) // 2
    assert peak_memory_bytes() >= resident_bytes("self") - (16 << 20)
    assert resident_bytes(2**30) == resident_bytes(None) == 0
    available = available_memory_bytes()
    assert available is not None and available > 1 << 20


def test_a_system_that_tells_nothing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert available_memory_bytes() is None and resident_bytes("self") == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [("0, 3,GPU-8a", ["0", "3", "GPU-8a"]), ("", []), ("-1", []), ("2,-1", ["2"]), (None, ["0", "2", "10"])],
)
def test_gpus_are_those_that_the_variable_names_or_those_that_are_there(
    given: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [Path("/dev", name) for name in ("nvidia10", "nvidia2", "nvidia-uvm", "nvidia0", "nvidiactl")]
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter(devices))
    if given is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == expected


def test_a_scratch_folder_lasts_as_long_as_its_block() -> None:
    with pytest.raises(RuntimeError), scratch() as folder:
        folder.write_text("a.txt", "Grüße\r\nzwei\n")
        assert folder.read_bytes("a.txt") == "Grüße\r\nzwei\n".encode()
        folder.path("b").touch()
        root = folder.path("b").parent
        raise RuntimeError
    assert not root.exists()


def test_a_full_disk_is_named() -> None:
    with pytest.raises(StorageError, match=r"disk is full.*TMPDIR"), scratch():
        raise OSError(errno.ENOSPC, "No space left on device")
