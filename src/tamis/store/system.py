"""What the operating system tells: memory that is free, memory that a process uses, and which GPUs there are."""

import os
import re
import resource
import sys
from pathlib import Path


def available_memory_bytes() -> int | None:
    """Memory that can be had without swapping, where the system tells it (Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def resident_bytes(pid: int | str | None) -> int:
    """Resident memory of a process (`self`: of this one) where the system tells it (Linux), else 0."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def visible_gpus() -> list[str]:
    """Names of the NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them; found without loading
    PyTorch."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    devices = (re.fullmatch(r"nvidia(\d+)", path.name) for path in Path("/dev").glob("nvidia*"))
    return sorted((device.group(1) for device in devices if device), key=int)


def peak_memory_bytes() -> int:
    """The largest resident size this process has had; Linux counts in kilobytes, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def processor_wait_seconds(pid: int | None) -> float:
    """How long the threads of a process have been ready to run while others had the processors, where the system tells
    it (Linux), else 0."""
    total = 0
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        pass
    return total / 1e9


def is_stopped(pid: int | None) -> bool:
    """Whether somebody has suspended a process (SIGSTOP), where the system tells it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "tT"
    except (OSError, IndexError):
        return False
