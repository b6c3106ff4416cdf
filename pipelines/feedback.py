"""What people answered to a list, into the lake and the desk database."""

import os
from datetime import UTC, datetime
from pathlib import Path

from pipelines.logs import about
from qma_predict.data.lake import Lake
from qma_predict.home import find_home
from qma_predict.line import load_line
from qma_predict.publish.lists.desk import open_desk
from qma_predict.review.answers import Imported, import_answers


def take_answers(line: str, home: str, file: Path) -> Imported:
    """Take the answers of a filled workbook or CSV; the same file again changes nothing."""
    definition, place = load_line(line), find_home(home)
    lake, folder = Lake(place.lake(definition.name)), place.published(definition.name)
    with about(line=definition.name), place.writing(definition.name):
        return import_answers(open_desk(place, os.environ), lake, definition, folder, file, now=datetime.now(UTC))
