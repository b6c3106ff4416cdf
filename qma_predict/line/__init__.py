"""The line: one file, `line.toml`, says what the plant is."""

from qma_predict.line.definition import Costs, Line, Source
from qma_predict.line.file import load_line

__all__ = ["Costs", "Line", "Source", "load_line"]
