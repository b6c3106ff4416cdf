"""A look at a line in one page: its data, its units, its process, and what became of its lists."""

from qma_predict.operate.monitor.monitoring import Monitoring, metrics, monitor
from qma_predict.operate.monitor.page import render

__all__ = ["Monitoring", "metrics", "monitor", "render"]
