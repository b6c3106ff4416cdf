import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from qma_predict.learn.baselines import RecentRateClassifier
from qma_predict.learn.rates import weighted_rate
from qma_predict.learn.weights import LARGEST, fit_weighted, inspection_weights, stabilised

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
    # 10, 2 and 1, divided by their mean 13 / 3
    assert found.tolist() == pytest.approx([30 / 13, 6 / 13, 3 / 13, 1.0, 1.0])
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


@pytest.mark.parametrize("impossible", [0.0, -0.5, 1.5, 50.0])
def test_what_is_no_probability_is_not_known(impossible):
    assert stabilised(pd.Series([0.5, 0.5, impossible])).tolist() == [1.0, 1.0, 1.0]


def test_no_unit_weighs_more_than_twenty_times_the_mean():
    found = stabilised(pd.Series([1e-6] + [1.0] * 99))
    assert found.max() == LARGEST
    assert found.iloc[1] == pytest.approx(1 / ((1e6 + 99) / 100))


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
                found.reset_index(drop=True), stabilised(pd.Series(chance[selected])), check_names=False
            )
        rate = weighted_rate(defect[selected].to_numpy(), stabilised(pd.Series(chance[selected])).to_numpy())
        held += rate.low <= true <= rate.high
        rates.append(rate.value)
        naive.append(defect[selected].mean())
    assert min(naive) > 1.5 * true  # the unweighted rate is wrong every time
    assert np.mean(rates) == pytest.approx(true, rel=0.03)
    assert held >= 184  # nominal 95 % of 200 are 190, give or take two standard deviations of 3
