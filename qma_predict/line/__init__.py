"""The line: one file, `line.toml`, says what the plant is."""

from qma_predict.line.definition import Line, Source
from qma_predict.line.file import load_line

__all__ = ["Line", "Source", "load_line"]
