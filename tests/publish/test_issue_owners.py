import io

import openpyxl
import pandas as pd
from example_lists import issue
from small_nights import AS_OF, DAY, MODEL, heat, reference, tables

from pipelines.tonight import Champion, lay_out
from qma_predict.publish import night as published_night
from qma_predict.publish.night import Provenance
from qma_predict.review.earlier import EarlierLists


def owner_and_due(history, line):
    champion = Champion(MODEL, heat, None, reference())
    made = lay_out(history, line, DAY, champion, EarlierLists(AS_OF.to_pydatetime(), {}, {}), Provenance())
    head, row = openpyxl.load_workbook(io.BytesIO(made.contents["risk_list.xlsx"]))["Issues"].values
    told = pd.Series(row, index=head)
    for said in (told["owner"], told["due"]):
        assert said is None or f"<bdi>{said}</bdi>" in made.contents["risk_list.html"].decode()
    return told["owner"], told["due"]


def test_a_night_shows_who_was_known_to_look_after_an_issue_at_its_moment(make_history, tiny_line, monkeypatch):
    monkeypatch.setattr(published_night, "why_none", lambda past, night: "")
    monkeypatch.setattr(published_night, "find_issues", lambda *_, **__: (issue(),))
    monkeypatch.setattr(published_night, "with_places", lambda issues, *_: issues)
    monkeypatch.setattr(published_night, "courses", lambda *_: {})
    answer = {"list_id": "tiny-2026-03-02", "title": issue().title, "answered_at": "2026-03-02 09:00"}
    known = [answer | {"owner": "B. Lin", "due": "2026-03-09"}]
    late = [answer | {"answered_at": "2026-03-03 09:00", "owner": "C", "due": None}]
    of_units = tables("a", "b", "c")
    assert owner_and_due(make_history(of_units | {"issue_answers": known + late}, as_of=AS_OF), tiny_line) == (
        "B. Lin",
        "2026-03-09",
    )
    assert owner_and_due(make_history(of_units, as_of=AS_OF), tiny_line) == (None, None)
