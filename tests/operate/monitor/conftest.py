"""The lists written by hand that the tests of review/ have, also when these tests run alone."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "review"))
