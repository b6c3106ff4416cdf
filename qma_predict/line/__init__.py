"""The line: one file, `line.toml`, says what the plant is."""

from qma_predict.line.definition import Line, Source
from qma_predict.line.file import load_line, parse_line
from qma_predict.line.policy import Costs, RiskList

__all__ = ["Costs", "Line", "RiskList", "Source", "load_line", "parse_line"]
