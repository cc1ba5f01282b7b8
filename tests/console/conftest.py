"""Makes the runner's toy stages importable here; small plans and workspaces for the tests of the command line's text."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runner"))
