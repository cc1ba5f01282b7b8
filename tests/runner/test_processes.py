"""Processes that a run starts: an interrupt is for the driver alone to answer; whatever kills the driver ends them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from toy import Shout

from tamis.base.config import Config
from tamis.base.stage import Map
from tamis.runner.execute import execute
from tamis.runner.graph import Context, Node
from tamis.runner.inline_engine import InlineEngine
from tamis.store.location import Location
from tamis.store.workspace import Workspace, open_workspace

HERE = str(Path(__file__).parent)
DRIVER = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}]
from test_processes import wait_side_by_side

if __name__ == "__main__":
    wait_side_by_side(Path(sys.argv[1]))
"""


class Waiting(Node):
    """Says which process it runs in, and never ends."""

    kind: ClassVar[str] = "waiting"
    own_process: ClassVar[bool] = True

    def __init__(self, number: int, folder: Path) -> None:
        super().__init__("", f"waiting {number}", ())
        self.place = folder / f"pid-{number}"

    def artefacts(self, workspace: Workspace) -> list[str]:
        return [f"waiting-{self.place.name}"]

    def is_done(self, workspace: Workspace) -> bool:
        return False

    def run(self, context: Context) -> None:
        whole = self.place.with_suffix(".whole")
        whole.write_text(str(os.getpid()))
        whole.rename(self.place)
        threading.Event().wait()


def wait_side_by_side(folder: Path) -> None:
    """Two nodes in processes of their own. The exit code after an interrupt is 130, as that of the command line."""
    context = Context(
        workspace=open_workspace(Location(folder / "workspace")), engine=InlineEngine(), num_workers=2,
        on_event=lambda event: None,
    )  # fmt: skip
    try:
        execute([Waiting(0, folder), Waiting(1, folder)], context, lambda node: None, lambda node: None)
    except KeyboardInterrupt:
        sys.exit(130)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_processes_side_by_side_end_with_their_parent(blow: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(here=HERE))
    with (tmp_path / "errors").open("w") as errors:
        driver = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stderr=errors, start_new_session=True)
        pids = [_pid_in(tmp_path / f"pid-{number}", driver) for number in range(2)]
        if blow == signal.SIGKILL:
            driver.kill()
        else:
            os.killpg(driver.pid, blow)
        driver.wait()
    _wait_until_gone(pids)
    assert driver.returncode == (-signal.SIGKILL if blow == signal.SIGKILL else 130)
    assert "Traceback" not in (tmp_path / "errors").read_text()


def _pid_in(place: Path, driver: "subprocess.Popen[bytes]") -> int:
    while not place.exists():
        assert driver.poll() is None, "the driver ended before its processes had begun"
        time.sleep(0.01)
    return int(place.read_text())


def _wait_until_gone(pids: list[int]) -> None:
    """Returns when none of them runs any more: does not return when one goes on."""
    while any(_runs(pid) for pid in pids):
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(found.strip()) and not found.startswith("Z")


class Held(Map):
    """A step that never ends, and says which processes are in it."""

    name: ClassVar[str] = "held"
    version: ClassVar[int] = 1
    reads = Shout.reads

    class Settings(Config):
        folder: str

    config: Settings

    def apply(self, batch: Any) -> Any:
        (Path(self.config.folder) / f"worker-{os.getpid()}").touch()
        threading.Event().wait()


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_an_interrupt_of_the_whole_group_is_one_line_and_code_130(engine: str, tmp_path: Path) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="Ray is optional: pip install 'tamis[ray]'")
    (tmp_path / "pool").mkdir()
    for number in range(2):
        (tmp_path / "pool" / f"{number}.jsonl").write_text('{"text": "some words", "url": "http://a.example/"}\n')
    stages = [{"test_processes:Held": {"folder": str(tmp_path)}}]
    (tmp_path / "held.yaml").write_text(yaml.safe_dump({"name": "held", "stages": stages}))
    command = [sys.executable, "-m", "tamis", "run", "held.yaml", "--pool", "pool", "-w", "2", "--engine", engine]
    with (tmp_path / "errors").open("w") as errors:
        driver = subprocess.Popen(command, cwd=tmp_path, stderr=errors, start_new_session=True)
        while len(pids := [int(path.name.partition("-")[2]) for path in tmp_path.glob("worker-*")]) < 2:
            assert driver.poll() is None, (tmp_path / "errors").read_text()
            time.sleep(0.01)
        os.killpg(driver.pid, signal.SIGINT)
        driver.wait()
    _wait_until_gone(pids)
    told = (tmp_path / "errors").read_text()
    assert driver.returncode == 130, told
    assert "Traceback" not in told and "stopped; what is finished is kept" in told
    events = (tmp_path / "runs" / "held" / "events.jsonl").read_text().splitlines()
    assert json.loads(events[-1])["kind"] == "run_failed"
