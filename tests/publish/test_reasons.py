import json
from dataclasses import astuple
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.reference import Reference
from qma_predict.learn.risk_model import RiskModel
from qma_predict.publish.pages.words import Moments
from qma_predict.publish.reasons.because import because

MOMENTS = Moments("Europe/Berlin", date(2026, 3, 3), datetime(2026, 3, 3, 4, tzinfo=UTC))
UNITS = {"press.force.last": "kN", "press.force.mean": "kN", "oven.heat.last": "degC"}
COLUMNS = [
    "station",
    "tag",
    "product",
    "valid_from",
    "recorded_at",
    "lower",
    "upper",
    "plausible_low",
    "plausible_high",
]
NO_TAGS = pd.DataFrame(columns=COLUMNS)
SIZE = 101


class Scores:
    """A model of the log-odds that a function gives."""

    def __init__(self, log_odds):
        self.log_odds = log_odds

    def predict(self, X):
        return expit(np.nan_to_num(np.asarray(self.log_odds(X), dtype=float)))


def force(X):
    """The further below 429 kN, the riskier."""
    return (429 - X["press.force.last"]).clip(lower=0) / 4 - 4


@pytest.fixture
def siblings():
    """Force 428 to 441 kN in equal steps, heat 200 to 210 degC, in which neither tells of the other."""
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "press.force.last": np.linspace(428, 441, SIZE),
            "oven.heat.last": rng.permutation(np.linspace(200, 210, SIZE)),
            "press.machine": pd.array(["P1"] * 99 + ["P2"] * 2, dtype="str"),
        },
        index=[f"g{n:03}" for n in range(SIZE)],
    ).astype({"press.force.last": "float32", "oven.heat.last": "float32"})


@pytest.fixture
def usual():
    """A unit in the middle of its siblings."""
    return {"press.force.last": 434.0, "oven.heat.last": 205.0, "press.machine": "P1"}


@pytest.fixture
def reasons(siblings, tiny_line):
    def make(
        rows, log_odds, *, refits=None, groups=None, tags=(), good=siblings, products=None, turned=False, **options
    ):
        X = pd.DataFrame(rows, index=pd.Index([f"u{n}" for n in range(len(rows))], name="unit_id"))
        X = X.reindex(columns=good.columns).astype(good.dtypes)
        products = products or ["A"] * len(rows)
        cutoffs = pd.date_range("2026-03-02 08:00", periods=len(rows), freq="h", tz="UTC").as_unit("us")
        candidates = pd.DataFrame({"unit_id": X.index, "product": products, "cutoff": cutoffs})
        if turned:
            X, candidates = X.iloc[::-1], candidates.iloc[::-1]
        alone = {name: name for name in good.columns}
        reference = Reference(
            siblings=good,
            products=pd.Series("A", index=good.index, dtype="str"),
            groups=pd.Series(alone | (groups or {}), dtype="str").reindex(good.columns),
            refits=tuple(Scores(one) for one in (refits or [log_odds] * 4)),
            past=pd.DataFrame(columns=["unit_id", "night", "score"]),
        )
        tags = pd.DataFrame([*tags], columns=NO_TAGS.columns) if tags else NO_TAGS
        options = {"tags": tags, "units": UNITS, "line": tiny_line, "moments": MOMENTS} | options
        return because(Scores(log_odds).predict, reference, X, ["u" + str(len(rows) - 1)], candidates, **options)

    return make


def tag(**values):
    known = {"valid_from": "2026-01-01", "recorded_at": "2026-01-01", "product": ""} | values
    times = {name: pd.Timestamp(known[name], tz="UTC") for name in ("valid_from", "recorded_at")}
    return {"station": "press", "tag": "force"} | known | times


def test_the_tag_that_makes_the_defects_is_told_with_its_unit_range_limit_and_since_when(reasons, usual):
    # of 428 to 441, the 10th and 90th percentiles are 429.3 and 439.7
    rows = [usual, usual | {"press.force.last": 415.0}, usual | {"press.force.last": 412.0, "oven.heat.last": 199.0}]
    found = reasons(rows, force, tags=[tag(lower=420.0, upper=450.0)]).loc["u2"]
    assert found["because"] == "force 412 kN, good parts 429-440, limit 420; on P1 since Mon 2 Mar 10:00"
    assert found["action"] == ""
    (driver,) = found["drivers"]
    assert (driver.feature, driver.tag, driver.station, driver.unit) == ("press.force.last", "force", "press", "kN")
    assert (driver.value, driver.low, driver.high) == pytest.approx((412, 429.3, 439.7), abs=1e-4)
    assert driver.since == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert driver.stability == 1.0
    # (429 - 412) / 4 against siblings of whom 8 of 101 are below 429
    assert driver.contribution == pytest.approx(4.25, abs=0.05)


def test_if_only_this_unit_is_unlike_the_others_it_says_no_since(reasons, usual):
    rows = [usual | {"press.force.last": 412.0}, usual, usual | {"press.force.last": 412.0}]
    found = reasons(rows, force).loc["u2"]
    assert found["because"] == "force 412 kN, good parts 429-440"
    assert found["drivers"][0].since is None


def test_units_of_other_machines_do_not_end_what_a_machine_does(reasons, usual):
    low = usual | {"press.force.last": 412.0}
    rows = [usual, low, usual | {"press.machine": "P2"}, low]
    assert reasons(rows, force)["because"].item().endswith("; on P1 since Mon 2 Mar 10:00")
    assert reasons([low, low], force)["because"].item().endswith("; on P1 since Mon 2 Mar 09:00 or before")


def test_without_the_units_machine_nobody_knows_since_when_and_without_machines_the_station_counts_as_one(
    reasons, siblings, usual
):
    low = usual | {"press.force.last": 412.0}
    strange = [low, low | {"press.machine": None}, low | {"press.machine": None}]
    assert reasons(strange, force)["drivers"].item()[0].since is None
    alone = siblings.drop(columns="press.machine")
    rows = [usual, low, low]
    assert reasons(rows, force, good=alone)["because"].item().endswith("; since Mon 2 Mar 10:00")


def test_what_moves_together_is_told_once(reasons, siblings, usual):
    good = siblings.assign(**{"press.power.last": siblings["press.force.last"] * 2})
    unit = usual | {"press.force.last": 412.0, "press.power.last": 820.0}
    pair = {"press.power.last": "press.force.last"}
    found = reasons(
        [unit], lambda X: force(X) + (858 - X["press.power.last"]).clip(lower=0) / 8, good=good, groups=pair
    )
    assert len(found.at["u0", "drivers"]) == 1
    assert found.at["u0", "drivers"][0].contribution == pytest.approx(9.0, abs=0.1)


def test_a_tag_is_told_once_whatever_its_statistics(reasons, siblings, usual):
    good = siblings.assign(**{"press.force.mean": siblings["press.force.last"].to_numpy()[::-1]})
    unit = usual | {"press.force.last": 412.0, "press.force.mean": 413.0}
    both = reasons([unit], lambda X: force(X) + (429 - X["press.force.mean"]).clip(lower=0) / 4, good=good)
    assert both.at["u0", "because"].count("force") == 1


def test_an_implausible_value_says_to_check_the_sensor_first(reasons, usual):
    ranges = tag(lower=420.0, upper=450.0, plausible_low=100.0, plausible_high=600.0)
    unit = usual | {"press.force.last": 0.0, "oven.heat.last": 250.0}
    found = reasons([unit], lambda X: force(X) + (X["oven.heat.last"] - 210).clip(lower=0), tags=[ranges]).loc["u0"]
    assert found["action"] == "check sensor force"
    assert found["because"] == (
        "check sensor force first: force 0 kN, plausible 100-600. heat 250 degC, good parts 201-209"
    )
    assert found["told"] == tuple(found["because"].split(". "))


def test_a_sensor_that_does_not_change_is_checked_first_even_if_refits_do_not_agree(reasons, usual):
    rows = [usual | {"press.force.last": 430.0 + n} for n in range(3)] + [usual | {"press.force.last": 412.0}] * 5
    nothing = [lambda X: np.zeros(len(X))] * 4
    found = reasons(rows, force, refits=nothing).loc["u7"]
    assert found["because"] == "check sensor force first: force 412 kN without a change in 5 units"
    assert found["action"] == "check sensor force"
    assert reasons(rows[1:-1], force)["action"].item() == ""  # four in a row may be chance


def test_a_driver_that_most_refits_do_not_know_is_not_told(reasons, usual):
    def nothing(X):
        return np.full(len(X), -4.0)

    unit = usual | {"press.force.last": 412.0}
    half = reasons([unit], force, refits=[force, force, nothing, nothing])
    assert half.at["u0", "because"] == "no single reason; unusual combination at press"
    assert half.at["u0", "drivers"] == ()
    most = reasons([unit], force, refits=[force, force, force, nothing]).at["u0", "drivers"]
    assert most[0].stability == 0.75


def test_no_reason_is_told_of_a_unit_whose_contributions_do_not_add_up_to_its_score(reasons, usual, caplog):
    def alone_riskier(X):
        return force(X) + 0.5 * (len(X) == 1)

    unit = usual | {"press.force.last": 412.0}
    found = reasons([unit], alone_riskier, refits=[force] * 4)
    assert found.at["u0", "because"] == "no single reason; unusual combination at press"
    assert "contributions of 1 of 1 units, u0 the first, do not add up" in caplog.text


def test_what_lowers_the_risk_or_lies_within_the_range_of_good_units_is_no_reason(reasons, usual):
    low = usual | {"press.force.last": 412.0}
    assert reasons([low], lambda X: -force(X))["drivers"].item() == ()
    within = usual | {"press.force.last": 430.0}  # riskier than 435, but nothing unusual
    found = reasons([within], lambda X: (441 - X["press.force.last"]) / 2 - 4)
    assert found["because"].item() == "no single reason; unusual combination"


def test_a_text_is_told_with_how_many_good_parts_share_it(reasons, usual):
    found = reasons([usual | {"press.machine": "P2"}], lambda X: 3.0 * (X["press.machine"] == "P2") - 4)
    assert found.at["u0", "because"] == "press machine P2, 2 of 100 good parts"
    assert found.at["u0", "drivers"][0].share == pytest.approx(2 / 101)


def test_a_text_that_most_good_parts_share_is_no_reason(reasons, siblings, usual):
    good = siblings.assign(**{"press.machine": pd.array(["P1"] * 60 + ["P2"] * 41, dtype="str")})
    found = reasons([usual], lambda X: 3.0 * (X["press.machine"] == "P1") - 4, good=good)
    assert found.at["u0", "drivers"] == ()
    found = reasons([usual | {"press.machine": "P2"}], lambda X: 3.0 * (X["press.machine"] == "P2") - 4, good=good)
    assert found.at["u0", "because"] == "press machine P2, 41 of 100 good parts"


def test_a_missing_value_is_told_with_how_many_good_parts_have_it(reasons, siblings, usual):
    good = siblings.copy()
    good.iloc[[3, 50], 0] = np.nan
    found = reasons([usual | {"press.force.last": None}], lambda X: 3.0 * X["press.force.last"].isna() - 4, good=good)
    assert found.at["u0", "because"] == "force not recorded; 98 of 100 good parts have it"
    assert found.at["u0", "drivers"][0].value is None


def test_a_value_that_hardly_any_good_part_has_is_told_so(reasons, siblings, usual):
    good = siblings.assign(**{"oven.rework.last": np.float32("nan")})
    good.iloc[:3, -1] = 1.0
    unit = usual | {"oven.rework.last": 1.0}
    found = reasons([unit], lambda X: 3.0 * X["oven.rework.last"].notna() - 4, good=good)
    assert found.at["u0", "because"] == "rework 1 recorded; 3 of 100 good parts have one"


def test_a_product_with_few_good_parts_is_compared_with_those_of_all_and_says_so(reasons, usual):
    found = reasons([usual | {"press.force.last": 412.0}], force, products=["B"])
    assert found["because"].item() == "force 412 kN, good parts of all products 429-440"


def test_limits_are_those_of_the_product_that_held_and_were_known_at_the_cutoff(reasons, usual):
    tags = [
        tag(lower=421.0),
        tag(lower=425.0, valid_from="2026-02-01", recorded_at="2026-04-01"),
        tag(lower=422.0, product="A", valid_from="2025-12-01"),
        tag(lower=423.0, product="B"),
    ]
    low = [usual | {"press.force.last": 412.0}]
    said = {product: reasons(low, force, tags=tags, products=[product])["because"].item() for product in "ABC"}
    assert [said[product].partition(", limit ")[2] for product in "ABC"] == ["422", "423", "421"]


def test_the_tag_of_two_stations_is_told_with_its_station_and_names_cannot_break_the_sentence(reasons, siblings, usual):
    good = siblings.rename(columns={"oven.heat.last": "oven.force.last", "press.machine": "press.a\nb.setup"})
    unit = {"press.force.last": 412.0, "oven.force.last": 205.0, "press.a\nb.setup": "x\n\u202e"}
    found = reasons([unit], lambda X: force(X) + 3.0 * (X["press.a\nb.setup"] == "x\n\u202e"), good=good)
    assert found["because"].item() == (
        "force at press 412 kN, good parts 429-440. setup of a\\nb x\\n\\u202e, 0 of 100 good parts"
    )


def test_at_most_two_are_told_and_none_of_less_than_a_quarter_of_the_first(reasons, siblings, usual):
    rng = np.random.default_rng(2)
    names = [f"oven.t{n}.last" for n in range(5)]
    good = siblings.assign(**{name: rng.permutation(np.linspace(0, 1, SIZE)) for name in names})
    unit = usual | dict.fromkeys(names, 2.0)
    weights = [4.0, 2.0, 1.9, 1.8, 0.5]

    def several(X):
        return sum(weight * (X[name] - 1).clip(lower=0) for weight, name in zip(weights, names, strict=True)) - 4

    drivers = reasons([unit], several, good=good).at["u0", "drivers"]
    assert [driver.tag for driver in drivers] == ["t0", "t1"]
    weights[1:] = [0.9, 0.0, 0.0, 0.0]
    assert [driver.tag for driver in reasons([unit], several, good=good).at["u0", "drivers"]] == ["t0"]


@pytest.mark.parametrize("name", BASELINES)
def test_lists_of_the_simple_rules_have_reasons_or_say_that_it_was_the_rule(name, reasons, siblings, usual):
    y = np.zeros(SIZE, dtype=int)
    y[[0, 50, 99, 100]] = 1  # both units of P2
    model = RiskModel.of(make_baseline(name).fit(siblings, y), siblings)
    odds = {"log_odds": lambda X: np.log(model.predict(X) / (1 - model.predict(X)))}
    found = reasons([usual | {"press.machine": "P2", "oven.heat.last": 260.0}], simple_rule=True, **odds)
    told = {
        "prevalence": "by the simple rule",
        "recent_rate": "press machine P2, 2 of 100 good parts",
        "spc_rule": "heat 260 degC, good parts 201-209",
    }
    assert found["because"].item() == told[name]


def test_without_good_units_without_features_or_without_listed_units_nothing_breaks(
    reasons, siblings, usual, tiny_line
):
    none = "no single reason; unusual combination"
    assert reasons([usual], force, good=siblings.head(0))["because"].item() == none
    assert reasons([{}], lambda X: np.zeros(len(X)), good=siblings[[]])["because"].item() == none
    text_only = reasons([usual], lambda X: np.zeros(len(X)), good=siblings[["press.machine"]])
    assert text_only["because"].item() == none
    nothing = reasons([{}], lambda X: np.full(len(X), 3.0))  # a unit of which nothing is known
    assert nothing["because"].item() == none


def test_no_units_give_an_empty_frame(siblings, tiny_line):
    reference = Reference(siblings, pd.Series("A", siblings.index), pd.Series(dict.fromkeys(siblings, "x")), (), None)
    candidates = pd.DataFrame({"unit_id": [], "product": [], "cutoff": []})
    options = {"tags": NO_TAGS, "units": {}, "line": tiny_line, "moments": MOMENTS}
    found = because(Scores(force).predict, reference, siblings.head(0), [], candidates, **options)
    assert list(found) == ["because", "told", "action", "drivers"]
    assert found.empty


def test_the_same_night_in_any_order_gives_the_same_bytes_and_no_sentence_says_that_anything_was_caused(
    reasons, siblings
):
    rng = np.random.default_rng(9)

    def tangled(X):
        return force(X) + (X["oven.heat.last"] - 205) * (X["press.force.last"] - 434) / 20

    for _ in range(5):
        rows = [
            {"press.force.last": rng.normal(430, 8), "oven.heat.last": rng.normal(205, 6), "press.machine": machine}
            for machine in rng.choice(["P1", "P2", None], 10)
        ]
        one, other = reasons(rows, tangled), reasons(rows, tangled, turned=True)
        as_bytes = [json.dumps([*map(str, frame.map(str).to_numpy().ravel())]) for frame in (one, other)]
        assert as_bytes[0] == as_bytes[1]
        assert [astuple(driver) for driver in one["drivers"].item()] == [astuple(d) for d in other["drivers"].item()]
        assert "caus" not in one["because"].item().lower()
