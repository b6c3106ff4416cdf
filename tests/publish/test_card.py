from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from qma_predict.errors import LineError, ModelError
from qma_predict.home import open_home
from qma_predict.learn.backtest import Backtest
from qma_predict.learn.baselines import make_baseline
from qma_predict.learn.blend import CalibratedBlend
from qma_predict.learn.block_metrics import METRICS
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.explanations import REST
from qma_predict.learn.label_quality import label_quality
from qma_predict.learn.practice import Practice
from qma_predict.learn.reliance import Reliance
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.shuffled import Shuffled
from qma_predict.learn.training import Training
from qma_predict.learn.verdict import verdict
from qma_predict.publish.models import card, kept_cards
from qma_predict.publish.models.card import model_card

NAN = float("nan")
NASTY = "a|b\n# <script>`x`</script> [y](http://z)"


def backtested():
    """Two blocks: nothing could be fitted before the first; four units in the second, two defects of one expected."""
    start = pd.Timestamp("2026-03-02", tz="UTC")
    facts = [
        {"block": 1, "origin": start, "end": start + pd.Timedelta("14D"), "train_units": 5, "train_defects": 0}
        | {"units": 3, "defects": 1, "value": NAN, "reason": "0 defects and 5 good units to learn from"},
        {"block": 2, "origin": start + pd.Timedelta("14D"), "end": start + pd.Timedelta("28D"), "train_units": 8}
        | {"train_defects": 2, "units": 4, "defects": 2, "value": 0.25, "reason": None},
    ]
    rows = [
        one | {"contestant": name, "metric": metric, "low": NAN, "high": NAN}
        for one in facts
        for name in ("boosted_trees", "prevalence")
        for metric in METRICS
    ]
    table = pd.DataFrame(rows).astype({"reason": "str"})
    table.loc[table["metric"] == "expected_cost", ["value", "reason"]] = [NAN, "the line names no costs"]
    predictions = pd.DataFrame(
        {
            "block": 2,
            "contestant": np.repeat(["boosted_trees", "prevalence"], 4),
            "unit_id": list("abcd") * 2,
            "night": pd.Timestamp("2026-03-17").date(),
            "score": [0.25] * 4 + [0.0] * 4,
            "outcome": [1.0, 1.0, 0.0, 0.0] * 2,
        }
    )
    return Backtest(table, predictions, capacity=2)


def trained(history, line):
    dataset = make_dataset(history, line)
    X = dataset.X if len(dataset.X) > 1 else pd.DataFrame({"a.b": [0.0, 1.0]})
    y = pd.Series(np.arange(len(X)) % 2, index=X.index)
    models = {name: RiskModel.of(make_baseline("prevalence").fit(X, y), X) for name in ("boosted_trees", "prevalence")}
    found, empty = backtested(), pd.DataFrame(columns=["feature", "kind", "evidence", "kept"])
    practice = Practice(0, 0, NAN, NAN, NAN, NAN, "not compared with the plant's practice: why not")
    shuffled = Shuffled(NAN, NAN, NAN, NAN, "shuffled split: not compared")
    compared = (pd.DataFrame(), practice, shuffled, label_quality(dataset), None)
    judged = verdict(found, "boosted_trees", against=["prevalence"])
    return dataset, Training(found, judged, models, "boosted_trees", empty, *compared)


@pytest.fixture
def plant(make_history, tiny_line):
    def make(product="P1"):
        of = [
            {"unit_id": unit, "station": "oven", "machine": "O1", "started_at": "2026-03-02", "ended_at": "2026-03-03"}
            for unit in "abcd"
        ]
        units = [{"unit_id": unit, "product": product, "occurred_at": "2026-03-01"} for unit in "abcd"]
        learning = tiny_line.learning.model_copy(update={"families": ("product", "route")})
        return make_history({"visits": of, "units": units}), tiny_line.model_copy(update={"learning": learning})

    return make


def lines_of(text, section):
    part = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [line for line in part.split("\n") if line]


def test_the_card_has_every_section_and_says_what_is_not_defined_and_why(plant):
    text = model_card(*trained(*plant()), [0, 0])
    assert [line[3:] for line in text.split("\n") if line.startswith("## ")] == [
        *("Model", "Data", "Labels", "Features", "What it relies on", "Leaks", "Backtest", "Calibration"),
        *("Limits of validity", "Known failure modes", "Versions", "How to make it again"),
    ]
    labels = lines_of(text, "Labels")
    assert "| share of defects among the inspected | not defined: no label is known |" in labels
    assert "| share of defects among all | not defined: no label is known |" in labels
    assert f"| defect | 0 | {' | '.join(['not defined: no unit'] * 4)} |" in labels
    assert "nan" not in text.lower().replace("finance", "")
    assert "NaT" not in text


def test_means_name_their_blocks_and_the_undefined_its_reason(plant):
    said = lines_of(model_card(*trained(*plant()), [3, 1]), "Backtest")
    assert "| average precision | 0.25 (1 of 2) | 0.25 (1 of 2) |" in said
    costs = "not defined: the line names no costs"
    assert f"| expected cost [currency of the costs, per candidate] | {costs} | {costs} |" in said
    assert "* not defined in block 1: 0 defects and 5 good units to learn from" in said
    assert "| 2 | 2026-03-16 00:00:00 | 2026-03-30 00:00:00 | 8 | 2 | 4 | 2 |" in said
    assert "* its blocks were looked at 3, 1 times before, oldest first" in said


def test_what_it_relies_on_is_told_with_stability_and_units(plant):
    line = plant()
    groups = [("oven.heat|a", 0.2, 0.1, 0.3, 2, 3), ("press.machine", 0.01, -0.02, 0.04, 1, 1), (REST, 0, 0, 0, 0, 40)]
    found = Reliance(
        pd.DataFrame(groups, columns=["group", "loss", "lowest", "highest", "blocks", "features"]),
        2,
        {
            "oven.heat|a": pd.DataFrame({"value": [80.0, 90, 100], "risk": [0.01, 0.08, 0.04], "share": [0.1, 0.5, 1]}),
            "press.machine": pd.DataFrame({"value": ["P1", "P2"], "risk": [0.05, 0.02], "share": [0.5, 0.5]}),
        },
    )
    dataset, training = trained(*line)
    dataset = replace(dataset, units=dataset.units | {"oven.heat|a": "degC"})
    said = lines_of(model_card(dataset, training, [0, 0], found), "What it relies on")
    assert "| oven.heat&#124;a | 3 | 0.200 | 0.100 to 0.300 | 2 of 2 |" in said
    assert "| all others | 40 | 0.000 | 0.000 to 0.000 | 0 of 2 |" in said
    stability = "It relies in every block on oven.heat&#124;a. In some blocks only: press.machine. Losses up to 0.020 "
    assert any(row.startswith(stability) for row in said)
    assert "* oven.heat&#124;a: 1 % at 80 degC, 4 % at 100 degC, highest 8 % at 90 degC" in said
    assert "* press.machine: 2 % with P2 to 5 % with P1" in said
    assert any(row.startswith("Mean score of units") for row in said)  # they are a ranking here
    assert lines_of(model_card(*trained(*line), [0, 0]), "What it relies on")[0].startswith("Not known: no block")


def test_a_base_rate_that_moved_is_told_with_the_calibration(plant):
    rate = np.where(np.arange(3000) < 2500, 0.02, 0.1)
    y = (np.random.default_rng(0).random(3000) < rate).astype(int)
    X = pd.DataFrame({"a.b": np.arange(3000) % 7 / 7})
    model = RiskModel.of(CalibratedBlend([("one", LogisticRegression())]).fit(X, y), X)
    dataset, training = trained(*plant())
    assert "The defect rate has moved" not in model_card(dataset, training, [0, 0])
    training = replace(training, models=dict(training.models) | {"boosted_trees": model})
    said = lines_of(model_card(dataset, training, [0, 0]), "Calibration")
    assert f"**{model.notice}**" in said
    assert model.notice.startswith("The defect rate has moved: ")


def test_calibration_says_that_scores_are_a_ranking_and_counts_defects(plant):
    said = lines_of(model_card(*trained(*plant()), [0, 0]), "Calibration")
    assert said[0].startswith(
        "**Scores are a ranking, not probabilities**: its backtest holds 2 known defects, too few"
    )
    # Poisson limits of 2 observed, 0.2422 and 7.2247, divided by 4 * 0.25 expected
    assert "| boosted_trees | 2 | 1 | 2 | 0.2422 to 7.225 |" in said
    nothing = "not defined: no defect was expected"
    assert f"| prevalence | 2 | 0 | {nothing} | {nothing} |" in said


def test_texts_of_the_plant_do_nothing_in_the_card(plant):
    dataset, training = trained(*plant(product=NASTY))
    leaks = pd.DataFrame({"feature": [NASTY], "kind": "predicts alone", "evidence": NASTY, "kept": False})
    dataset = replace(dataset, line=dataset.line.model_copy(update={"title": NASTY, "plant": NASTY}))
    text = model_card(dataset, replace(training, leaks=leaks), [0, 0])
    for sign in ("<script>", "a|b", "`x`", "[y]", "http://"):
        assert sign not in text
    shown = "a&#124;b\\n".replace("\\", "&#92;")
    assert text.count(shown) == 5  # title, plant, product, and a leak's name and evidence
    rows = [line for line in text.split("\n") if line.startswith("|") and shown in line]
    assert [row.count("|") for row in rows] == [3, 5]


def test_a_long_list_is_shortened_and_says_by_how_much(plant, monkeypatch):
    monkeypatch.setattr(card, "LONGEST", 1)
    text = model_card(*trained(*plant()), [0, 0])
    assert "2 features of 2 are used." in text
    assert "\n\n1 more; all are in `features.csv` of the MLflow run.\n" in text
    assert "| route | oven | 1 | none known |" not in text


def test_features_that_were_left_out_are_not_among_those_used(plant):
    dataset, training = trained(*plant())
    model = RiskModel(training.models["boosted_trees"].classifier, ["oven.machine"], ["oven.machine"])
    said = lines_of(model_card(dataset, replace(training, models={"boosted_trees": model}), [0]), "Features")
    assert said[0].startswith("1 features of 2 are used.")
    assert said[-1] == "| oven.machine |  | 1.0000 | 1 different texts |"


def test_limits_name_products_and_machines_and_what_is_not_known(plant):
    said = lines_of(model_card(*trained(*plant()), [0, 0]), "Limits of validity")
    assert "* unit.product: P1 (4 units)" in said
    assert "* oven.machine: O1 (4 units)" in said
    assert any(line.startswith("* Inspections: 4 of 4 units have no label.") for line in said)


def test_clocks_that_are_only_declared_are_a_known_failure_mode(plant):
    said = lines_of(model_card(*trained(*plant()), [0, 0]), "Known failure modes")
    assert any(
        "When rows of inspections, readings, tags, units, visits could be read is not recorded" in s for s in said
    )


def test_the_same_training_has_the_same_card_to_the_byte(plant):
    dataset, training = trained(*plant())
    again = replace(dataset, X=dataset.X.copy(), identity=dict(reversed(dataset.identity.items())))
    assert model_card(again, training, [0, 0]) == model_card(dataset, training, [0, 0])


def test_a_home_keeps_a_card_a_version_and_says_where_one_is_missing(tmp_path):
    home = open_home(tmp_path / "home")
    for version, text in (("1", "first\n"), ("2", "Größe\n")):
        home.card("tiny", version).parent.mkdir(parents=True)
        home.card("tiny", version).write_text(text, encoding="utf-8")
    assert [kept_cards.read(home, "tiny", version) for version in "12"] == ["first\n", "Größe\n"]
    with pytest.raises(
        ModelError, match=r"models/tiny/v3/card.md: the card of tiny v3 cannot be read: .*qma train tiny"
    ):
        kept_cards.read(home, "tiny", "3")


def test_a_card_that_cannot_be_written_beside_line_toml_says_so(tiny_line, tmp_path):
    (tmp_path / "card.md").mkdir()
    line = tiny_line.model_copy()
    line._file = str(tmp_path / "line.toml")
    with pytest.raises(LineError, match=r"card.md: cannot be written: Is a directory"):
        kept_cards.write_beside(line, "text\n")
