"""`qma`: what the flows do on schedule, by hand."""

# imported in the order in which the help names their commands
from pipelines.cli import setup

# isort: split
from pipelines.cli import learning

# isort: split
from pipelines.cli import nights

# isort: split
from pipelines.cli import keeping
from pipelines.cli.app import app

__all__ = ["app", "keeping", "learning", "nights", "setup"]
