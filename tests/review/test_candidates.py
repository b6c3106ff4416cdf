from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from published_lists import put_list

from qma_predict.publish.models.model import Model
from qma_predict.publish.reaction import Scorers, shadow_bytes
from qma_predict.review.candidates import earlier_candidates
from qma_predict.review.earlier import lists_before

FIRST = date(2026, 3, 2)
QUIET = {"moved": 0.0, "ranking": "", "rule": "", "invalid": ""}


def model_of(version):
    return Model("tiny", version, "abc", "boosted_trees", True, datetime(2026, 3, 1, tzinfo=UTC), 0.1, "")


@pytest.fixture
def put(tmp_path, tiny_line):
    """Return a function that publishes a list and one that reads what lists before a day said of their candidates."""

    def one(day, units, *, raw, version="3", **said):
        X = pd.DataFrame({"place": 1.0}, pd.Index(units, name="unit_id"))
        more = {"shadow.parquet": shadow_bytes(X, Scorers(lambda X: np.full(len(X), raw)))}
        facts = {"reaction": QUIET | said, "model": {"version": version}}
        put_list(tmp_path, tiny_line, day, units, facts=facts, more=more)

    def read(day, version="3"):
        return earlier_candidates(lists_before(tmp_path, tiny_line, tiny_line.as_of(day)), model_of(version))

    return one, read


def test_scores_are_those_of_tonights_model_whatever_the_list_showed(put):
    publish, read = put
    days = [FIRST + timedelta(days=n) for n in range(4)]
    publish(days[0], {"a": 0.3}, raw=0.9, version="2")  # of another model
    publish(days[1], {"b": 0.4}, raw=0.1)
    publish(days[2], {"c": 0.6}, raw=0.2, moved=1.2)  # shown with a moved level
    publish(days[3], {"d": {"score": 0.7, "score_is": "ranking"}}, raw=0.3, rule="worse")  # made by the rule
    found = read(days[3] + timedelta(days=1)).scores
    assert found.set_index("unit_id")["score"].to_dict() == {"b": 0.1, "c": 0.2, "d": 0.3}
    assert found["night"].tolist() == days[1:]


def test_a_unit_was_drawn_on_the_first_list_that_scored_it(put):
    publish, read = put
    second = FIRST + timedelta(days=1)
    waits = {"score": 0.1, "listed": False, "first_night": FIRST}
    publish(FIRST, {"a": waits | {"selection_probability": 0.02}, "late": {"score": np.nan, "listed": False}}, raw=0.1)
    again = {"a": waits | {"selection_probability": 1.0}, "late": waits | {"selection_probability": 0.05}}
    publish(second, again, raw=0.1, version="4")
    found = read(second + timedelta(days=1))
    assert found.drawn.to_dict() == {"a": 0.02, "late": 0.05}
    assert found.scores["unit_id"].tolist() == ["a"]


def test_of_a_unit_the_first_list_is_known_that_named_it_and_no_other_night(put):
    publish, read = put
    days = [FIRST + timedelta(days=n) for n in range(3)]
    left_out = {"score": 0.1, "listed": False, "first_night": FIRST}
    publish(days[0], {"a": 0.3, "waits": left_out, "never": left_out}, raw=0.1)
    publish(days[2], {"a": 0.3, "waits": left_out | {"listed": True}, "never": left_out}, raw=0.1)
    assert read(days[2] + timedelta(days=1)).listed.to_dict() == {"a": days[0], "waits": days[2]}


def test_without_lists_nothing_is_known(put):
    found = put[1](FIRST)
    assert found.listed.empty
    assert found.scores.empty
    assert found.drawn.empty
