"""Flow: from the lake to parameters for the line's recipe, or to the finding that its own are as good."""

from datetime import UTC, date, datetime

from prefect import flow

from pipelines.logs import about
from pipelines.steps import step
from qma_predict.data.lake import Lake
from qma_predict.home import open_home
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.search import Search, before_backtest, search
from qma_predict.line import load_line
from qma_predict.publish.models import registry


def look_for_parameters(line: str, home: str, as_of: datetime, minutes: float, trials: int | None) -> Search:
    """Search on what was known before the backtest of a training as of `as_of` [UTC] begins, and log it."""
    definition, place = load_line(line), open_home(home)
    dataset = before_backtest(make_dataset(Lake(place.lake(definition.name)).at(as_of), definition))
    found = search(dataset, minutes=minutes, trials=trials)
    registry.log_search(place, dataset, found)
    return found


@flow(name="search")
def search_flow(
    line: str, home: str, business_date: date | None = None, minutes: float = 10.0, trials: int | None = None
) -> Search:
    """Search for the training of a business date; by default for a training now."""
    definition = load_line(line)
    as_of = datetime.now(UTC) if business_date is None else definition.as_of(business_date)
    with about(line=definition.name, business_date=business_date):
        return step(look_for_parameters)(line, home, as_of, minutes, trials)
