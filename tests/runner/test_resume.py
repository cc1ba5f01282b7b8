"""Kill a run after random numbers of finished tasks, as the kernel would; resume; the bytes must equal an undisturbed
run's."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import build, execute, tree
from toy import toy_docs

KILLS = 10
CHILD = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}]
from harness import build, execute
from test_resume import slow_docs

if __name__ == "__main__":
    execute(build(slow_docs()), Path(sys.argv[1]), workers=2)
"""


def slow_docs() -> list[list[list[str | None]]]:
    """Enough work to be killed in the middle of: every shard sleeps about half a second."""
    docs = toy_docs(6, 20)
    for shard, rows in enumerate(docs):
        rows[:0] = [[f"{shard}-slow{n}", "slow"] for n in range(10)]
    return docs


def test_kills_at_random_moments_change_no_byte(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(here=str(Path(__file__).parent)))
    assert _child(script, tmp_path / "undisturbed").wait() == 0
    num_records = len(_records(tmp_path / "undisturbed"))
    rng = random.Random(0)
    moments = sorted(rng.sample(range(num_records), KILLS))
    for moment in moments:
        child = _child(script, tmp_path / "killed")
        while child.poll() is None and len(_records(tmp_path / "killed")) <= moment:
            time.sleep(0.002)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
    while _workers_of(script):  # workers die with their parent, or this never ends
        time.sleep(0.01)
    execute(build(slow_docs()), tmp_path / "killed", workers=2)
    assert tree(tmp_path / "killed") == tree(tmp_path / "undisturbed")


def _records(root: Path) -> list[Path]:
    """What the ledger knows to be finished."""
    return list(root.rglob("tasks/*.json"))


def _child(script: Path, output: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(script), str(output)], start_new_session=True)


def _workers_of(script: Path) -> list[str]:
    """Command lines of processes that still belong to the killed runs."""
    out = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in out.splitlines() if str(script) in line and "ps -eo" not in line]
