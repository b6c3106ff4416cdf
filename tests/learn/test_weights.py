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


@pytest.mark.parametrize("impossible", [0.0, -0.5, 1.5, 50.0])
def test_what_is_no_probability_is_not_known(impossible):
    found = stabilised(pd.Series([0.5, 0.5, impossible]), not_inspected=1)
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
                stabilised(pd.Series(chance[selected]), not_inspected=0),
                check_names=False,
            )
        weight = stabilised(pd.Series(chance[selected]), not_inspected=0)  # all are known: nobody asks how many
        rate = weighted_rate(defect[selected].to_numpy(), weight.to_numpy())
        held += rate.low <= true <= rate.high
        rates.append(rate.value)
        naive.append(defect[selected].mean())
    assert min(naive) > 1.5 * true  # the unweighted rate is wrong every time
    assert np.mean(rates) == pytest.approx(true, rel=0.03)
    assert held >= 184  # nominal 95 % of 200 are 190, give or take two standard deviations of 3
