import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from qma_predict.learn import plots
from qma_predict.learn.at_capacity import recall_at_capacity
from qma_predict.learn.backtest import Backtest
from qma_predict.learn.block_metrics import METRICS

ORIGINS = pd.to_datetime(["2026-01-05", "2026-01-19"], utc=True)


def result(scores, outcome, *, night=None, block=1, capacity=1, values=None, reasons=None):
    """A backtest written by hand.

    `scores` are lists by contestant for the units 0, 1, 2 ...; NaN leaves the contestant's row out. The table's value
    is 0.5 everywhere but for `values` by (block, contestant, metric); where that is NaN, `reasons` says why.
    """
    outcome = np.asarray(outcome, dtype=float)
    units = pd.DataFrame({"block": block, "unit_id": range(len(outcome)), "night": 1, "outcome": outcome})
    units = units if night is None else units.assign(night=night)
    rows = [units.assign(contestant=name, score=score).dropna(subset="score") for name, score in scores.items()]
    table = []
    for number in sorted(units["block"].unique()):
        here = units.loc[units["block"] == number, "outcome"]
        facts = {"block": number, "origin": ORIGINS[number - 1], "units": here.count(), "defects": int(here.sum())}
        for name in scores:
            for metric in METRICS:
                key = (number, name, metric)
                value, reason = (values or {}).get(key, 0.5), (reasons or {}).get(key)
                table.append(facts | {"contestant": name, "metric": metric, "value": value, "reason": reason})
    frame = pd.DataFrame(table).astype({"reason": "str"})
    return Backtest(frame, pd.concat(rows, ignore_index=True), capacity)


# two nights of three units; the last outcome is not known
TWO_NIGHTS = {"outcome": [1, 0, 0, 1, 0, np.nan], "night": [1, 1, 1, 2, 2, 2]}
TREES = [0.9, 0.6, 0.1, 0.4, 0.5, 0.2]
NOBODY_KNOWS = [0.3] * 6


def lines(figure, axes=0):
    """What the lines of an axes show, by the first word of their label."""
    found = figure.axes[axes].get_lines()
    return {line.get_label().split(":")[0]: np.column_stack(line.get_data()) for line in found}


def words(figure):
    """All text of a figure's axes."""
    return " ".join(text.get_text().replace("\n", " ") for axes in figure.axes for text in axes.texts)


def missing(name, block=1, metrics=METRICS, reason="found 0 defects"):
    keys = [(block, name, metric) for metric in metrics]
    return {"values": dict.fromkeys(keys, np.nan), "reasons": dict.fromkeys(keys, reason)}


def test_precision_and_recall_are_those_of_the_ranking():
    figure = plots.precision_recall(result({"trees": TREES}, **TWO_NIGHTS), line="Line 7")
    # known, from the top: defect, good, good, defect, good
    expected = [[1 / 2, 1], [1 / 2, 1 / 2], [1 / 2, 1 / 3], [1, 2 / 4], [1, 2 / 5]]
    np.testing.assert_allclose(lines(figure)["trees"], expected)


def test_who_does_not_rank_has_the_same_precision_at_every_recall():
    figure = plots.precision_recall(result({"prevalence": NOBODY_KNOWS}, **TWO_NIGHTS), line="Line 7")
    np.testing.assert_allclose(lines(figure)["prevalence"], [[i / 5, 2 / 5] for i in range(1, 6)])


def test_the_legend_has_the_mean_over_blocks_and_in_how_many_a_contestant_took_part():
    values = {(1, "trees", "average_precision"): 0.7, (2, "trees", "average_precision"): 0.2}
    block = [1, 1, 1, 2, 2, 2]
    late = [np.nan] * 3 + [0.1, 0.2, 0.3]
    contestants = {"trees": TREES, "late": late}
    figure = plots.precision_recall(result(contestants, **TWO_NIGHTS, block=block, values=values), line="Line 7")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["trees: 0.45", "late (1 of 2 blocks): 0.50"]
    assert figure.legends[0].get_title().get_text() == "average precision, mean over blocks"


def test_recall_grows_with_the_capacity_of_each_night():
    contestants = {"trees": TREES, "prevalence": NOBODY_KNOWS}
    found = lines(plots.recall_by_capacity(result(contestants, **TWO_NIGHTS), line="Line 7"))
    # night 1 lists the defect first, night 2 second; without ranking each place finds a third of both
    np.testing.assert_allclose(found["trees"], [[0, 0], [1, 1 / 2], [2, 1], [3, 1]])
    np.testing.assert_allclose(found["prevalence"], [[0, 0], [1, 1 / 3], [2, 2 / 3], [3, 1]])
    np.testing.assert_allclose(found["random units"], found["prevalence"])
    assert found["capacity of the line"][:, 0].tolist() == [1, 1]


def test_recall_is_that_of_the_metric_at_every_capacity_up_to_five_times_the_lines():
    rng = np.random.default_rng(0)
    outcome = np.where(rng.random(300) < 0.1, np.nan, rng.random(300) < 0.2)
    score, night = rng.integers(0, 6, 300) / 10, rng.integers(0, 12, 300)
    made = result({"trees": score}, outcome, night=night, capacity=4)
    curve = lines(plots.recall_by_capacity(made, line="Line 7"))["trees"]
    assert curve[:, 0].tolist() == list(range(21))
    assert curve[:, 1] == pytest.approx(
        [recall_at_capacity(outcome, score, capacity=places, nights=night) for places in range(21)]
    )


def test_a_night_that_two_blocks_share_has_a_list_in_each():
    made = result({"trees": [0.9, 0.8, 0.7, 0.6]}, [0, 1, 0, 1], block=[1, 1, 2, 2])
    np.testing.assert_allclose(lines(plots.recall_by_capacity(made, line="Line 7"))["trees"][:, 1], [0, 0, 1])


def test_calibration_shows_shares_and_intervals_of_bins_with_as_many_expected_defects():
    # 80 x 1/8 and 20 x 1/2 expect ten defects each; 8 and 12 came, and one unit is not known
    outcome = [*[1] * 8, *[0] * 72, *[1] * 12, *[0] * 8, np.nan]
    made = result({"trees": [1 / 8] * 80 + [1 / 2] * 20 + [0.99]}, outcome)
    figure = plots.calibration(made, "trees", line="Line 7")
    points, _, (bars,) = figure.axes[0].containers[0].lines
    np.testing.assert_allclose(np.column_stack(points.get_data()), [[1 / 8, 8 / 80], [1 / 2, 12 / 20]])
    low, high = np.array([bar[:, 1] for bar in bars.get_segments()]).T
    exact = [binomtest(hits, of).proportion_ci(method="exact") for hits, of in [(8, 80), (12, 20)]]
    np.testing.assert_allclose([low, high], np.transpose(exact))
    assert words(figure) == "8 / 80 12 / 20"


def test_calibration_has_at_most_eight_bins_with_five_expected_defects_or_more():
    rng = np.random.default_rng(0)

    def bins(score):
        made = result({"trees": score}, rng.random(len(score)) < score)
        return len(plots.calibration(made, "trees", line="Line 7").axes[0].texts)

    assert bins(rng.random(2000) / 10) == 8  # 100 expected
    assert bins(rng.random(340) / 10) == 3  # 17 expected
    assert bins(rng.random(20) / 10) == 1
    assert bins(np.zeros(20)) == 1


def test_calibration_of_somebody_else_is_refused():
    with pytest.raises(ValueError, match="found contestants trees, prevalence; expected 'forest'"):
        plots.calibration(result({"trees": TREES, "prevalence": TREES}, **TWO_NIGHTS), "forest", line="Line 7")


def test_every_metric_is_shown_block_by_block():
    values = {(1, "trees", "roc_auc"): 0.8, (2, "trees", "roc_auc"): 0.6, (2, "prevalence", "roc_auc"): 0.55}
    contestants = {"trees": TREES, "prevalence": NOBODY_KNOWS}
    made = result(contestants, **TWO_NIGHTS, block=[1, 1, 1, 2, 2, 2], capacity=7, values=values)
    figure = plots.metrics_by_block(made, line="Line 7")
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == len(METRICS)
    assert titles[2:4] == ["precision at 7 units a night", "recall at 7 units a night"]
    found = lines(figure, axes=METRICS.index("roc_auc"))
    np.testing.assert_allclose(found["trees"], [[1, 0.8], [2, 0.6]])
    np.testing.assert_allclose(found["prevalence"], [[1, 0.5], [2, 0.55]])
    assert figure.get_supxlabel() == (
        "block 1 from 2026-01-05: 1 of 3 known units defects; block 2 from 2026-01-19: 1 of 2 known units defects"
    )


def test_the_title_says_line_units_and_defects():
    made = result({"trees": TREES}, **TWO_NIGHTS, block=[1, 1, 1, 2, 2, 2])
    *single, by_block = plots.figures(made, "trees", line="Line 7").values()
    titles = [figure.axes[0].get_title() for figure in single] + [by_block.get_suptitle()]
    assert [title.split("\n")[0] for title in titles] == [
        *("Precision and recall", "Calibration of trees", "Recall against capacity", "Backtest by block"),
    ]
    assert {title.split("\n")[1] for title in titles} == {
        "Line 7: 5 units with a known outcome, 2 defects, 2 blocks",
    }


def test_without_a_known_defect_words_stand_where_curves_would():
    made = result({"trees": TREES}, [0, 0, 0, 0, 0, np.nan])
    for figure in (plots.precision_recall(made, line="Line 7"), plots.recall_by_capacity(made, line="Line 7")):
        assert "No scored unit is a known defect" in words(figure)
        assert not figure.axes[0].get_lines()
        assert not figure.axes[0].axison


def test_without_any_score_the_reason_stands_there():
    made = result({"trees": [np.nan] * 6}, **TWO_NIGHTS, **missing("trees"))
    *single, by_block = plots.figures(made, "trees", line="Line 7").values()
    assert all("found 0 defects" in words(figure) for figure in single)
    assert not any(figure.axes[0].get_lines() for figure in single)
    assert words(by_block) == " ".join(["not defined, see below"] * len(METRICS))
    assert by_block.get_supxlabel().endswith("block 1: no metric of anyone: found 0 defects")


def test_a_contestant_without_scores_is_named_beside_the_others():
    made = result({"trees": TREES, "late": [np.nan] * 6}, **TWO_NIGHTS, **missing("late"))
    for figure in (plots.precision_recall(made, line="Line 7"), plots.recall_by_capacity(made, line="Line 7")):
        assert "late: no score of a known defect" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "block 1: no metric of late: found 0 defects" in plots.metrics_by_block(made, line="").get_supxlabel()
    with_words = plots.calibration(made, "late", line="Line 7")
    assert words(with_words) == "No score of a unit with a known outcome: found 0 defects."


def test_values_that_are_missing_for_the_same_reason_are_told_once():
    block = [1, 1, 1, 2, 2, 2]
    gone = [missing("trees", number, ["roc_auc", "average_precision"], "1 class") for number in (1, 2)]
    merged = {key: gone[0][key] | gone[1][key] for key in ("values", "reasons")}
    made = result({"trees": TREES, "prevalence": NOBODY_KNOWS}, **TWO_NIGHTS, block=block, **merged)
    told = plots.metrics_by_block(made, line="Line 7").get_supxlabel().split("\n")
    assert told[1:] == ["block 1, 2: no average precision, no roc auc of trees: 1 class"]


def test_curves_can_be_told_apart_without_colour():
    made = result({f"model {n}": TREES for n in range(6)}, **TWO_NIGHTS)
    for figure in (plots.precision_recall(made, line=""), plots.metrics_by_block(made, line="")):
        drawn = [line for line in figure.axes[0].get_lines() if line.get_label().startswith("model")]
        assert len({str(line._dash_pattern) for line in drawn}) == 6
        assert len({line.get_marker() for line in drawn}) == 6


def test_axes_are_labelled_with_their_units():
    *single, _ = plots.figures(result({"trees": TREES}, **TWO_NIGHTS), "trees", line="Line 7").values()
    for figure in single:
        assert figure.axes[0].get_xlabel().endswith("]")
        assert figure.axes[0].get_ylabel().endswith("]")
    assert single[2].axes[0].get_xlabel() == "capacity [units checked a night]"


@pytest.mark.parametrize("known", [True, False])
def test_every_figure_can_be_drawn_and_its_legend_lies_within(known):
    contestants = dict.fromkeys(("boosted_trees", "prevalence", "recent_rate", "spc_rule"), TREES)
    contestants["a_recipe_with_a_long_name"] = [*TREES[:3], np.nan, np.nan, np.nan]
    made = result(contestants, TWO_NIGHTS["outcome"] if known else [0] * 6, block=[1, 1, 1, 2, 2, 2])
    for figure in plots.figures(made, "boosted_trees", line="A line with quite a long title").values():
        figure.savefig(io.BytesIO(), format="png")
        for legend in figure.legends:
            box, page = legend.get_window_extent(), figure.bbox
            assert 0 <= box.x0 < box.x1 <= page.x1
            assert 0 <= box.y0 < box.y1 <= page.y1


def test_nothing_of_matplotlibs_global_state_is_touched():
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from qma_predict.learn import plots
assert not any(name.startswith("matplotlib") for name in sys.modules)
from test_plots import TREES, TWO_NIGHTS, result
plots.figures(result(dict(trees=TREES), **TWO_NIGHTS), "trees", line="Line 7")
assert "matplotlib.figure" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
