"""How well escapes would be known, from the candidates of the newest lists."""

from datetime import UTC, datetime

from pipelines.logs import about
from qma_predict.errors import NotEnoughData
from qma_predict.home import find_home
from qma_predict.line import load_line
from qma_predict.publish.lists import bundle
from qma_predict.publish.lists.published import rows_of
from qma_predict.publish.policy.audit_plan import audit_plan, words
from qma_predict.publish.risk_list import CANDIDATE_COLUMNS
from qma_predict.review.earlier import read_lists

NIGHTS = 14


def plan_audits(line: str, home: str) -> str:
    """Lay out what shares of the capacity would tell, from the newest lists whose scores are probabilities.

    Raises
    ------
    NotEnoughData
        If none of them has any.
    """
    definition, place = load_line(line), find_home(home)
    folder = place.published(definition.name)
    with about(line=definition.name):
        lists = read_lists(folder, definition, bundle.known_dates(folder)[-NIGHTS:], datetime.now(UTC))
    rows = [rows_of(one.path) for one in lists.whole.values()]
    told = [night[list(CANDIDATE_COLUMNS)] for night in rows if len(night) and (night["score_is"] != "ranking").all()]
    if not told:
        found = f"none of the {len(rows)} newest lists has probabilities" if rows else "there is no list that is whole"
        raise NotEnoughData(
            f"{folder}: {found}; expected one at least that has candidates with probabilities. Publish one: qma "
            f"nightly {definition.name}; while its scores are a ranking, qma champion {definition.name} says why"
        )
    return words(audit_plan(told, definition), definition, nights=len(told))
