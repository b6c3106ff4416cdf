import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from qma_predict.learn.baselines import RecentRateClassifier
from qma_predict.learn.rates import weighted_rate
from qma_predict.learn.weights import LARGEST, fit_weighted, inspection_weights, stabilised, uncut_weights

CUTOFF = pd.Timestamp("2026-03-02 12:00", tz="UTC")


def row(unit, characteristic, probability=None, at="2026-03-03 08:00", passed=True):
    return {
        **{"unit_id": unit, "gate": "final", "characteristic": characteristic, "passed": passed},
        **{"occurred_at": at, "probability": probability},
    }


def points(*units):
    return pd.DataFrame({"unit_id": list(units), "cutoff": CUTOFF})


def test_a_unit_weighs_as_many_units_as_it_stands_for(make_history, tiny_line):
    chances = {"a": 0.1, "b": 0.5, "c": 1.0, "nobody knows": None}
    rows = [row(unit, name, chance) for unit, chance in chances.items() for name in ("leak", "size")]
    found = inspection_weights(make_history({"inspections": rows}), points(*chances, "not inspected"), tiny_line)
    # nine others and one, but one alone was not inspected: 1.9, 1.1, 1 and 1, divided by their mean of 5 / 4
    assert found.tolist() == pytest.approx([1.9 * 4 / 5, 1.1 * 4 / 5, 4 / 5, 4 / 5, 1.0])
    assert found.index.tolist() == [*chances, "not inspected"]


def test_the_probability_is_that_of_the_deciding_results_and_the_smallest_of_them(make_history, tiny_line):
    rows = [row("a", "leak", 0.5), row("a", "size", 0.25), row("a", "leak", 0.01, at="2026-03-04"), row("b", "leak", 1)]
    rows.append(row("b", "leak", 0.01, at="2026-03-01"))  # before the cutoff
    found = inspection_weights(make_history({"inspections": rows}), points("a", "b"), tiny_line)
    assert found.tolist() == pytest.approx([4 / 2.5, 1 / 2.5])


def test_without_probabilities_and_with_equal_ones_all_weigh_the_same(make_history, tiny_line):
    for chance in (None, 0.3):
        rows = [row(unit, "leak", chance) for unit in "ab"]
        found = inspection_weights(make_history({"inspections": rows}), points("a", "b", "c"), tiny_line)
        assert found.tolist() == [1.0, 1.0, 1.0]


def test_answers_to_a_list_weigh_nothing_where_the_plant_inspects_all_and_records_no_probability(
    make_history, tiny_line
):
    """Of ten units one is on the list for its rank, one is an audit, which is found defect and goes no further."""
    units = [f"u{number}" for number in range(10)]
    usual = [row(unit, name) for unit in units[:9] for name in ("leak", "size")]
    answers = [row("u0", name, 1.0, at="2026-03-02 13:00") for name in ("leak", "size")]
    answers += [row("u9", name, 0.1, at="2026-03-02 13:00", passed=False) for name in ("leak", "size")]
    found = inspection_weights(make_history({"inspections": usual + answers}), points(*units), tiny_line)
    assert found.tolist() == [1.0] * 10


def test_units_that_are_too_young_for_a_label_are_none_that_somebody_has_to_stand_for(make_history, tiny_line):
    rows = [row("a", "leak", 0.1), row("b", "leak"), row("young", "leak", 0.1)]
    later = pd.DataFrame({"unit_id": ["young", "younger"], "cutoff": pd.Timestamp("2026-12-30", tz="UTC")})
    everyone = pd.concat([points("a", "b", "c"), later], ignore_index=True)
    found = inspection_weights(make_history({"inspections": rows}), everyone, tiny_line)
    assert found.tolist() == pytest.approx([2 / 1.5, 1 / 1.5, 1.0, 1.0, 1.0])  # c is the only one
    assert inspection_weights(make_history({"inspections": rows}), later, tiny_line).tolist() == [1.0, 1.0]


def test_a_unit_stands_for_others_of_its_week_alone():
    """Week 1: two usual and one drawn; 2: all usual; 3: drawn alone, whose probabilities are all there are."""
    week = pd.Series([1, 1, 1, 2, 2, 3, 3])
    chance = pd.Series([None, None, 0.1, None, None, 0.5, 0.25])
    found = stabilised(chance, week, not_inspected=pd.Series({1: 4, 2: 90, 3: 1}))
    expected = np.array([1, 1, 1 + 4, 1, 1, 2, 4])  # of the 90 nobody knows anything
    assert found.tolist() == pytest.approx((expected / expected.mean()).tolist())
    nobody_left = stabilised(chance, week, not_inspected=pd.Series({2: 90}))
    expected[2] = 1
    assert nobody_left.tolist() == pytest.approx((expected / expected.mean()).tolist())


@pytest.mark.parametrize("then", ["all", "none", "drawn"])
def test_old_units_weigh_beside_each_other_as_they_did_before_the_plant_changed_its_ways(make_lake, tiny_line, then):
    """Four weeks of ten units a day: one usual, one drawn; after them all are usual, or none, or those drawn alone."""
    start = pd.Timestamp("2026-03-05 12:00", tz="UTC")
    days = pd.date_range(start, periods=70, freq="D")
    everyone = pd.DataFrame({"cutoff": days.repeat(10), "unit_id": [f"d{n // 10}-{n % 10}" for n in range(700)]})
    rows = []
    for number, (cutoff, unit) in enumerate(everyone.itertuples(index=False)):
        place, before = number % 10, number < 280
        drawn = place == 1 and (before or then == "drawn")
        if drawn or (place == 0 and before) or (then == "all" and not before):
            at = cutoff + pd.Timedelta("2h")
            rows += [row(unit, name, 0.1 if drawn else None, at=at) for name in ("leak", "size")]
    lake = make_lake({"inspections": rows})
    at_once, later = (uncut_weights(lake.at(start + pd.Timedelta(days=d)), everyone, tiny_line) for d in (33, 90))
    old = everyone["unit_id"].iloc[:280]
    inspected = old[old.str[-2:].isin(["-0", "-1"])]
    ratio = later[inspected] / at_once[inspected]
    assert ratio.to_numpy() == pytest.approx(ratio.iloc[0])
    assert later["d0-1"] / later["d0-0"] == pytest.approx(9)  # itself and the eight of its day that nobody inspected


@pytest.mark.parametrize("impossible", [0.0, -0.5, 1.5, 50.0])
def test_what_is_no_probability_is_not_known(impossible):
    week = pd.Series([1, 1, 1])
    found = stabilised(pd.Series([0.5, 0.5, impossible]), week, not_inspected=pd.Series({1: 1}))
    assert found.tolist() == pytest.approx([1.5 * 3 / 4, 1.5 * 3 / 4, 3 / 4])


def test_no_unit_weighs_more_than_twenty_times_the_mean_in_a_fit(make_history, tiny_line):
    units = [f"u{number}" for number in range(100)]
    rows = [row(unit, "leak", 1e-6 if unit == "u0" else 1.0) for unit in units]
    history, mean = make_history({"inspections": rows}), (1e6 + 99) / 100
    found = inspection_weights(history, points(*units), tiny_line)
    assert found.tolist() == pytest.approx([LARGEST] + [1 / mean] * 99)
    uncut = uncut_weights(history, points(*units), tiny_line)
    assert uncut.tolist() == pytest.approx([1e6 / mean] + [1 / mean] * 99)


def test_who_takes_weights_learns_with_them_and_who_does_not_without():
    X, y, weight = pd.DataFrame({"m.machine": ["A"] * 4}), [1, 0, 0, 0], np.array([3.0, 1.0, 1.0, 1.0])
    assert fit_weighted(DummyClassifier(), X, y, weight).predict_proba(X)[0, 1] == pytest.approx(0.5)
    assert fit_weighted(DummyClassifier(), X, y, None).predict_proba(X)[0, 1] == pytest.approx(0.25)
    assert fit_weighted(RecentRateClassifier(), X, y, weight).base_rate_ == pytest.approx(0.25)


def test_of_a_selectively_inspected_plant_the_weighted_rate_is_the_true_one(make_history, tiny_line, plant_folder):
    """The small plant's truth, inspected 200 times: nine of ten risky units, one of seven of the others."""
    truth = pd.read_parquet(plant_folder / "truth" / "units.parquet").set_index("unit_id")
    defect, true = truth["defect"].astype(bool), truth["defect"].mean()
    chance = np.where(truth["probability"] > truth["probability"].quantile(0.9), 0.9, 0.15)
    everyone = points(*truth.index)
    held, naive, rates = 0, [], []

    def known(chance):  # all are: nobody asks how many were not inspected
        return stabilised(pd.Series(chance), pd.Series(1, range(len(chance))), not_inspected=pd.Series(dtype=int))

    for seed in range(200):
        selected = np.random.default_rng(seed).random(len(truth)) < chance
        if seed == 0:  # through the whole way once, then its heart alone: it is the same
            rows = [
                row(unit, name, p, passed=not bad)
                for unit, p, bad in zip(truth.index[selected], chance[selected], defect[selected], strict=True)
                for name in ("leak", "size")
            ]
            found = inspection_weights(make_history({"inspections": rows}), everyone, tiny_line)[selected]
            pd.testing.assert_series_equal(
                found.reset_index(drop=True),
                known(chance[selected]),
                check_names=False,
            )
        weight = known(chance[selected])
        rate = weighted_rate(defect[selected].to_numpy(), weight.to_numpy())
        held += rate.low <= true <= rate.high
        rates.append(rate.value)
        naive.append(defect[selected].mean())
    assert min(naive) > 1.5 * true  # the unweighted rate is wrong every time
    assert np.mean(rates) == pytest.approx(true, rel=0.03)
    assert held >= 184  # nominal 95 % of 200 are 190, give or take two standard deviations of 3
