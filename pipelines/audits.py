"""How well escapes would be known, from the candidates of the newest lists."""

from qma_predict.errors import PublicationError
from qma_predict.home import open_home
from qma_predict.line import load_line
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.published import rows_of
from qma_predict.publish.policy.audit_plan import audit_plan, words
from qma_predict.publish.risk_list import CANDIDATE_COLUMNS

NIGHTS = 14


def plan_audits(line: str, home: str) -> str:
    """Lay out what shares of the capacity would tell, from the newest lists whose scores are probabilities."""
    definition, place = load_line(line), open_home(home)
    folder = place.published(definition.name)
    rows = [rows_of(folder / day.isoformat()) for day in bundle.published_dates(folder)[-NIGHTS:]]
    told = [night[list(CANDIDATE_COLUMNS)] for night in rows if len(night) and (night["score_is"] != "ranking").all()]
    if not told:
        raise PublicationError(
            f"{folder}: none of the {len(rows)} newest lists has probabilities; expected one at least. "
            f"Publish one: qma nightly {definition.name}"
        )
    return words(audit_plan(told, definition), definition, nights=len(told))
