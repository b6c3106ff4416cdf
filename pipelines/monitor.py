"""Flow: one look at a line as of a business date, as a page and as metrics."""

import logging
from datetime import date
from pathlib import Path

from prefect import flow

from pipelines.ingest import now_utc
from pipelines.logs import about
from pipelines.steps import step
from qma_predict.data.lake import Lake
from qma_predict.errors import HomeError, PublicationError
from qma_predict.home import Home, open_home
from qma_predict.line import Line, load_line
from qma_predict.operate.monitor import metrics, monitor, render
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.durable import remove_debris, write_whole
from qma_predict.publish.models import champion_log, kept_models, registry
from qma_predict.publish.models.model import Model

log = logging.getLogger(__name__)


def look(line: str, home: str, business_date: date) -> Path:
    """Write the page of what is seen of a line as of a business date, and log its numbers; a page of before gives way.

    Alarms are logged as warnings. A store of runs that cannot be written is a warning, too.

    Parameters
    ----------
    line : str
        A folder with a line.toml, or its name under models/.
    home : str
    business_date : date

    Returns
    -------
    Path
        ``<home>/monitoring/<line>/<business date>.html``.

    Raises
    ------
    ModelError
        If the model of the date's list, or the champion where it has none, cannot be used.
    PublicationError
        If a published list is damaged.
    HomeError
        If the page cannot be written.
    """
    definition, place = load_line(line), open_home(home)
    history = Lake(place.lake(definition.name)).at(definition.as_of(business_date))
    model = _model(place, definition, business_date)
    reference = kept_models.load_reference(place, model, definition.learning.trust)
    seen = monitor(history, definition, place.published(definition.name), model, reference, business_date)
    page = render(seen)
    folder = place.folder / "monitoring" / definition.name
    with place.writing(f"{definition.name}.monitoring"):
        file = _write(folder, f"{business_date.isoformat()}.html", page)
    for alarm in seen.alarms:
        log.warning("%s, %s: %s", definition.name, business_date, alarm)
    registry.log_monitoring(place, definition, business_date, metrics(seen), page)
    return file


def _model(home: Home, line: Line, business_date: date) -> Model:
    """The model that stands behind the list of a date, or the champion where there is no list."""
    folder = home.published(line.name)
    if business_date not in bundle.published_dates(folder):
        return champion_log.champion(home, line.name)
    made_by = bundle.read(folder, business_date)["facts"]["model"]
    return kept_models.read(home, line.name, str(made_by["version"]), made_by.get("sha256") or None)


def _write(folder: Path, name: str, page: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_debris(folder)
        write_whole(folder / name, page.encode())
    except OSError as error:
        raise HomeError(
            f"{folder / name}: cannot be written: {error}. Check the disk's space and permissions."
        ) from error
    return folder / name


@flow(name="monitor")
def monitor_flow(line: str, home: str, business_date: date | None = None) -> Path:
    """Look at a line as of a business date, today's by default.

    Raises
    ------
    PublicationError
        If that moment has not come yet.
    """
    definition, now = load_line(line), now_utc()
    day = definition.current_business_date(now) if business_date is None else business_date
    if definition.as_of(day) > now:
        raise PublicationError(
            f"line {definition.name}: {day} is looked at as of {definition.as_of(day):%Y-%m-%d %H:%M} UTC, which is "
            f"not yet. The newest date is {definition.current_business_date(now)}."
        )
    with about(line=definition.name, business_date=day):
        return step(look)(line, home, day)
