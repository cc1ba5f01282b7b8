"""What the operating system tells of memory: free on the machine, and used by a process."""

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


def peak_memory_bytes() -> int:
    """The largest resident size this process has had; Linux counts in kilobytes, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
