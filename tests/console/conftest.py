"""Makes the runner's toy stages importable here; the tests of the dry run plan with them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runner"))
