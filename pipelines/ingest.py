"""Flow: the plant's new files into the lake."""

from datetime import UTC, datetime

from prefect import flow

from pipelines.steps import step
from qma_predict.data.ingest import Ingested, ingest
from qma_predict.data.lake import Lake
from qma_predict.home import open_home
from qma_predict.line import load_line


def take_in(line: str, home: str, as_of: datetime) -> Ingested:
    """Ingest a line's new files, first seen as of `as_of` [UTC]."""
    definition, place = load_line(line), open_home(home)
    with place.writing(definition.name):
        return ingest(definition, Lake(place.lake(definition.name)), as_of=as_of, now=datetime.now(UTC))


@flow(name="ingest")
def ingest_flow(line: str, home: str) -> Ingested:
    """Ingest a line's new files now."""
    return step(take_in)(line, home, datetime.now(UTC))
