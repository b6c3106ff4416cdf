import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from qma_predict.data.lake import Lake
from qma_predict.errors import HomeError, LineError, ModelError
from qma_predict.home import open_home
from qma_predict.learn.backtest import Backtest
from qma_predict.learn.baselines import BASELINES, make_baseline
from qma_predict.learn.blend import CalibratedBlend
from qma_predict.learn.block_metrics import METRICS
from qma_predict.learn.dataset import make_dataset
from qma_predict.learn.explanations import REST
from qma_predict.learn.label_quality import label_quality
from qma_predict.learn.over_all import over_all_units
from qma_predict.learn.practice import Practice
from qma_predict.learn.reference import Reference
from qma_predict.learn.reliability import observed_over_expected_interval
from qma_predict.learn.reliance import NOTHING, Reliance
from qma_predict.learn.risk_model import RiskModel
from qma_predict.learn.shuffled import Shuffled
from qma_predict.learn.training import Training
from qma_predict.learn.verdict import verdict
from qma_predict.publish.lists import definitions
from qma_predict.publish.models import card_features, kept_cards, kept_models, markdown
from qma_predict.publish.models.card import model_card
from qma_predict.publish.models.card_features import features_file
from qma_predict.publish.models.model import described

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
    models = {name: RiskModel.of(make_baseline(name).fit(X, y), X) for name in BASELINES}
    models["boosted_trees"] = RiskModel.of(LogisticRegression().fit([[0], [1]], [0, 1]), X)
    found = backtested()
    empty = pd.DataFrame(columns=["feature", "kind", "evidence", "kept"]).astype({"kept": bool})
    practice = Practice(0, 0, NAN, NAN, NAN, NAN, "not compared with the plant's practice: why not")
    shuffled = Shuffled(NAN, NAN, NAN, NAN, "shuffled split: not compared")
    compared = (pd.DataFrame(), practice, shuffled, label_quality(dataset), None)
    judged = verdict(found, "boosted_trees", against=["prevalence"])
    return dataset, Training(found, judged, models, "boosted_trees", empty, *compared)


def kept(dataset, training):
    """The winner of a training, as it is kept."""
    return replace(described(dataset, training, ()), version="7", run_id="0123abc", base_rate=0.5)


def card_of(dataset, training, relied=NOTHING, *, looked=(0, 0)):
    return model_card(dataset, training, kept(dataset, training), looked, relied)


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
    text = card_of(*trained(*plant()))
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
    said = lines_of(card_of(*trained(*plant()), looked=[3, 1]), "Backtest")
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
    said = lines_of(card_of(dataset, training, found), "What it relies on")
    assert "| oven.heat&#124;a | 3 | 0.200 | 0.100 to 0.300 | 2 of 2 |" in said
    assert "| all others | 40 | 0.000 | 0.000 to 0.000 | 0 of 2 |" in said
    stability = "It relies in every block on oven.heat&#124;a. In some blocks only: press.machine. Losses up to 0.020 "
    assert any(row.startswith(stability) for row in said)
    assert "* oven.heat&#124;a: 1 % at 80 degC, 4 % at 100 degC, highest 8 % at 90 degC" in said
    assert "* press.machine: 2 % with P2 to 5 % with P1" in said
    assert any(row.startswith("Mean score of units") for row in said)  # they are a ranking here
    assert lines_of(card_of(*trained(*line)), "What it relies on")[0].startswith("Not known: no block")


def test_a_base_rate_that_moved_is_told_with_the_calibration(plant):
    rate = np.where(np.arange(3000) < 2500, 0.02, 0.1)
    y = (np.random.default_rng(0).random(3000) < rate).astype(int)
    X = pd.DataFrame({"a.b": np.arange(3000) % 7 / 7})
    model = RiskModel.of(CalibratedBlend([("one", LogisticRegression())]).fit(X, y), X)
    dataset, training = trained(*plant())
    assert "The defect rate has moved" not in card_of(dataset, training)
    training = replace(training, models=dict(training.models) | {"boosted_trees": model})
    said = lines_of(card_of(dataset, training), "Calibration")
    assert f"By the newest labels it learnt: **{model.notice}** Its scores follow that." in said
    assert model.notice.startswith("The defect rate has moved: ")


def test_calibration_says_that_scores_are_a_ranking_and_counts_defects(plant):
    said = lines_of(card_of(*trained(*plant())), "Calibration")
    assert said[0].startswith(
        "**Scores are a ranking, not probabilities**: its backtest holds 2 known defects, too few"
    )
    # Poisson limits of 2 observed, 0.2422 and 7.2247, divided by 4 * 0.25 expected
    assert "| boosted_trees | 2 | 1 | 2 | 0.2422 to 7.225 |" in said
    nothing = "not defined: no defect was expected"
    assert f"| prevalence | 2 | 0 | {nothing} | {nothing} |" in said


def test_by_weights_counts_stay_counts_and_figures_over_all_units_say_what_they_are_worth(plant):
    dataset, training = trained(*plant())
    weight = pd.Series([1.0, 1.0, 1.0, 9.0], index=list("abcd"))
    training = replace(training, labels=replace(training.labels, uncut=weight))
    found = replace(training.backtest, table=training.backtest.table.assign(train_rate=0.25))
    training = replace(training, over_all=over_all_units(found, weight))
    text = card_of(dataset, training)
    # two defects of weight 1 where 0.25 * 12 were expected; each varies as if it weighed (3 + 81) / 12
    ends = observed_over_expected_interval([1, 1, 0, 0], [0.25] * 4, sample_weight=weight)
    low, high = (f"{end:.4g}" for end in ends)
    said = lines_of(text, "Calibration")
    assert f"| boosted_trees | 2 | 1 | 0.6667 | {low} to {high} | {2 / 7:.3g} |" in said
    where = ", by the weights of the labels, where the contestant takes them, and else among inspected units, too:"
    assert any(row.endswith(where) for row in said)
    of_all = lines_of(text, "Backtest")
    few = "not defined: over all units 2 known defects are worth 0.29, fewer than 10"
    assert any(row.startswith(f"| recall at capacity | {few} | ") for row in of_all)
    assert any(row.startswith(f"| observed over expected | 0.6667 ({low} to {high}) (1 of 2) | ") for row in of_all)


def test_weights_that_were_cut_for_learning_are_told_where_two_ratios_over_all_units_differ(plant):
    dataset, training = trained(*plant())
    weight = pd.Series([1.0, 1.0, 1.0, 37.0], index=list("abcd"))
    training = replace(training, labels=replace(training.labels, uncut=weight))
    found = replace(training.backtest, table=training.backtest.table.assign(train_rate=0.25))
    text = card_of(dataset, replace(training, over_all=over_all_units(found, weight)))
    assert any(row.startswith("| observed over expected | 0.2 (") for row in lines_of(text, "Backtest"))  # 2 / 10
    said = lines_of(text, "Calibration")
    assert any(row.startswith("| boosted_trees | 2 | 1 | 0.3478 | ") for row in said)  # 2 / (0.25 * 23)
    cut = "by the weights of the labels, cut to 20 times the mean as for learning (those under Backtest are not), where"
    assert any(cut in row for row in said)


def many_judged(training, rate=0.25):
    """The same training with 400 judged units of which so many are defect, where a quarter is expected."""
    rows = training.backtest.predictions.head(1)
    y = (np.arange(400) < 400 * rate).astype(float)
    units = [f"u{n}" for n in range(400)]
    parts = [
        pd.concat([rows] * 400, ignore_index=True).assign(contestant=name, unit_id=units, score=0.25, outcome=y)
        for name in ("boosted_trees", "spc_rule")
    ]
    return replace(training, backtest=replace(training.backtest, predictions=pd.concat(parts, ignore_index=True)))


def said_of_scores(dataset, training):
    text = card_of(dataset, training)
    model, limits, fails = (lines_of(text, name) for name in ("Model", "Limits of validity", "Known failure modes"))
    return lines_of(text, "Calibration")[0], {
        "answers how likely": any("| answers | how likely a unit is" in row for row in model),
        "estimates": any("It ranks and estimates;" in row for row in limits),
        "probabilities are off": any("shifts: probabilities are off" in row for row in fails),
    }


@pytest.mark.parametrize(
    ("winner", "weighted", "read_as"),
    [
        ("boosted_trees", False, "Scores may be read as probabilities: in the backtest"),
        ("boosted_trees", True, "Scores may be read as probabilities over all units: in the backtest"),
        (
            "spc_rule",
            True,
            "Scores may be read as probabilities of units that are selected for inspection as the labelled ones were: ",
        ),
    ],
)
def test_probabilities_are_so_in_every_section_and_of_the_units_that_they_are_of(plant, winner, weighted, read_as):
    dataset, training = trained(*plant())
    training = replace(many_judged(training), winner=winner)
    if weighted:
        weight = pd.Series(1.0 + np.arange(400) % 2, index=[f"u{n}" for n in range(400)])
        training = replace(training, labels=replace(training.labels, uncut=weight))
    meaning, told = said_of_scores(dataset, training)
    assert meaning.startswith(read_as)
    assert all(told.values()), told


@pytest.mark.parametrize(("rate", "because"), [(0.01, "its backtest holds 4 known defects"), (0.9, "off by more than")])
def test_a_ranking_is_one_in_every_section(plant, rate, because):
    dataset, training = trained(*plant())
    meaning, told = said_of_scores(dataset, many_judged(training, rate))
    assert meaning.startswith("**Scores are a ranking, not probabilities**: ")
    assert because in meaning
    assert not any(told.values()), told


def test_a_rule_that_is_refreshed_does_not_deny_that_the_recipe_is_better(plant):
    dataset, training = trained(*plant())
    training = replace(training, winner="prevalence")
    assert "(simple rule of the ladder: no recipe was shown to be better)" in card_of(dataset, training)
    better = replace(training.verdict, better=True, sentence="boosted_trees: 0.4 against 0.2 of prevalence, better")
    text = card_of(dataset, replace(training, verdict=better))
    assert "no recipe was shown to be better" not in text
    kind = "simple rule of the ladder: a refresh of the model in use, though the recipe was shown to be better"
    assert f"| model | prevalence ({kind}) |" in text


def test_texts_of_the_plant_do_nothing_in_the_card(plant):
    dataset, training = trained(*plant(product=NASTY))
    leaks = pd.DataFrame({"feature": [NASTY], "kind": "predicts alone", "evidence": NASTY, "kept": False})
    dataset = replace(dataset, line=dataset.line.model_copy(update={"title": NASTY, "plant": NASTY}))
    text = card_of(dataset, replace(training, leaks=leaks))
    for sign in ("<script>", "a|b", "`x`", "[y]", "http://"):
        assert sign not in text
    shown = "a&#124;b\\n".replace("\\", "&#92;")
    assert text.count(shown) == 5  # title, plant, product, and a leak's name and evidence
    rows = [line for line in text.split("\n") if line.startswith("|") and shown in line]
    assert [row.count("|") for row in rows] == [3, 5]


WIDE = {
    "oven.heat.count": [1.0] * 4,
    "oven.heat.mean": [1.0, 2, 3, 4],
    "oven.heat.last": [80.0, 90, 100, np.nan],
    "oven.gas.mean": [0.5, 0.5, 0.25, 0.5],
    "press.force.mean": [7.0] * 4,
    "press.force.max": [7.0, 8, 8, 8],
}


@pytest.fixture
def wide(plant):
    """A training with numbers beside the product and the oven, of which there is but one each."""

    dataset, training = trained(*plant())

    def make(winner="boosted_trees"):
        X = dataset.X.assign(**WIDE)
        units = dataset.units | dict.fromkeys(WIDE, "") | {"oven.heat.last": "degC"}
        models = {name: RiskModel(one.classifier, list(X), []) for name, one in training.models.items()}
        return replace(dataset, X=X, units=units), replace(training, models=models, winner=winner)

    return make


def singly(text):
    return [
        row.split(" | ")[0][2:] for row in lines_of(text, "Features") if row.startswith("| ") and row.count("|") == 5
    ]


def test_one_feature_of_each_tag_is_told_as_far_as_it_varies(wide):
    text = card_of(*wide())
    said = lines_of(text, "Features")
    assert said[0].startswith(
        "8 features of 8 are used. `models/tiny/v7/features.csv` of the home has every feature with its unit of measure"
    )
    assert "| oven.heat.last | degC | 0.7500 | 80 to 100 |" in said
    assert singly(text)[-3:] == ["oven.heat.last", "oven.gas.mean", "press.force.max"]
    assert said[-1] == "5 more in that file."


def test_what_the_model_relies_on_is_told_first(wide):
    rows = [("press.force.mean", 0.2, 0.1, 0.3, 2, 2), (REST, 0.1, 0, 0, 2, 5), ("oven.heat.count", 0.1, 0, 0, 2, 1)]
    groups = pd.DataFrame(rows, columns=["group", "loss", "lowest", "highest", "blocks", "features"])
    members = {"oven.heat.count": ["oven.heat.count"], "press.force.mean": ["press.force.max", "press.force.mean"]}
    text = card_of(*wide(), Reliance(groups, 2, {}, members))
    assert singly(text)[-4:] == ["press.force.mean", "press.force.max", "oven.heat.count", "oven.gas.mean"]
    assert "\n\nThose of the groups under What it relies on, then one of each tag of which more" in text


def test_a_long_list_is_shortened_and_says_by_how_much(wide, monkeypatch):
    monkeypatch.setattr(markdown, "LONGEST", 1)
    monkeypatch.setattr(card_features, "LONGEST", 2)
    text = card_of(*wide())
    assert singly(text)[-2:] == ["oven.heat.last", "press.force.max"]  # of each station one
    assert "\n\n6 more in that file.\n" in text
    assert "| product | unit | 1 | none known |" not in text


def test_the_file_of_features_has_all_and_says_which_are_used(wide):
    dataset, training = wide()
    every = features_file(dataset, training).splitlines()
    assert every[0] == "feature,family,place,unit,known,lowest,highest,values,used"
    assert len(every) == 1 + 8
    assert any(row.startswith("oven.heat.last,") and row.endswith(",degC,0.75,80.0,100.0,,True") for row in every)
    no_product = RiskModel(training.models["boosted_trees"].classifier, ["oven.machine"], ["oven.machine"])
    rows = features_file(dataset, replace(training, models={"boosted_trees": no_product})).splitlines()[1:]
    assert [row.split(",")[0] for row in rows if row.endswith("True")] == ["oven.machine"]


def test_features_that_were_left_out_are_not_among_those_used(plant):
    dataset, training = trained(*plant())
    model = RiskModel(training.models["boosted_trees"].classifier, ["oven.machine"], ["oven.machine"])
    said = lines_of(card_of(dataset, replace(training, models={"boosted_trees": model})), "Features")
    assert said[0].startswith("1 features of 2 are used.")
    assert "| route | oven | 1 | none known |" in said
    assert not any(row.startswith("| product |") for row in said)


def test_the_head_names_the_version_and_the_run(plant):
    text = card_of(*trained(*plant()))
    assert text.startswith("# Model card: Tiny line, v7\n")
    assert {"| version | v7 |", "| MLflow run | 0123abc |"} <= set(lines_of(text, "Model"))


def test_a_rule_says_what_it_looks_at_and_nothing_of_what_it_does_not(wide):
    said = {name: card_of(*wide(name)) for name in BASELINES}
    of_features = {name: lines_of(text, "Features") for name, text in said.items()}
    assert of_features["prevalence"] == [
        "prevalence looks at 0 features of 8: every unit has the share of defects among the labels. "
        "`models/tiny/v7/features.csv` of the home has every feature with its unit of measure and range."
    ]
    by = "the share of defects among the newest labels of each product and machine."
    assert of_features["recent_rate"][0].startswith(f"recent_rate looks at 2 features of 8: {by}")
    numbers = {name: "* Numbers: within the ranges" in text for name, text in said.items()}
    assert numbers == {"prevalence": False, "recent_rate": False, "spc_rule": False}  # four units give no limits
    sensors = {name: "A sensor that is replaced" in text for name, text in said.items()}
    assert sensors == numbers
    past = {name: "the model knows nothing of it" in text for name, text in said.items()}
    assert past == {"prevalence": False, "recent_rate": True, "spc_rule": False}
    recipe = card_of(*wide())
    assert all(one in recipe for one in ("* Numbers: within", "A sensor that is replaced", "knows nothing of it"))


def test_the_spc_rule_names_the_tags_that_have_limits(wide):
    dataset, training = wide("spc_rule")
    X = pd.DataFrame({"oven.heat.last": np.arange(40.0), "oven.gas.last": 1.0, "oven.heat.mean": np.arange(40.0)})
    rule = RiskModel.of(make_baseline("spc_rule").fit(X, np.arange(40) % 10 == 0), X)
    training = replace(training, models=dict(training.models) | {"spc_rule": rule})
    text = card_of(dataset, training)
    assert lines_of(text, "Features")[0].startswith(
        "spc_rule looks at 1 features of 8: how many of them are outside the limits that good units give, and how far."
    )
    assert singly(text)[-1] == "oven.heat.last"
    assert "* Numbers: within the ranges" in text


def test_weights_are_those_that_the_winner_takes(wide):
    told = {}
    for name in ("boosted_trees", "spc_rule"):
        dataset, training = wide(name)
        weight = pd.Series(2.0, dataset.X.index)
        told[name] = card_of(dataset, replace(training, labels=replace(training.labels, uncut=weight)))
    assert "| weights | by the recorded probability of inspection |" in told["boosted_trees"]
    assert "Labels were weighted by their recorded probability of inspection." in told["boosted_trees"]
    assert "| weights | all alike: spc_rule takes none |" in told["spc_rule"]
    assert "Labels were weighted" not in told["spc_rule"]
    assert "but spc_rule takes no weights: all labels count alike." in told["spc_rule"]
    assert "| weights | all alike |" in card_of(*wide())


@pytest.fixture
def made_again(plant, tmp_path, monkeypatch):
    """What the code of a card gives, in a folder where line.toml was changed since; but nothing is fitted."""
    dataset, training = trained(*plant())
    home, line = open_home(tmp_path / "anywhere"), dataset.line
    shutil.copytree(tmp_path / "lake-0", home.lake("tiny"))
    definitions.keep(home, line)
    X, winner = dataset.X, training.models["prevalence"]
    alone, past = pd.Series({name: name for name in X}), pd.DataFrame({"unit_id": [], "night": [], "score": []})
    reference = Reference(X, X["unit.product"].rename(None), alone, (), past)
    text = card_of(dataset, training)
    kept_models.keep(home, kept(dataset, training), winner, winner, reference, lambda model: {kept_models.CARD: text})
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    changed = line.text.decode().replace("capacity = 2", "capacity = 9")
    assert changed != line.text.decode()
    (tmp_path / "models" / "tiny" / "line.toml").write_text(changed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QMA_HOME", str(home.folder))

    def make():
        code, fit = re.search(r"```python\n(.*)(fitted = .*\n)```", text, re.DOTALL).groups()
        assert fit == "fitted = train(dataset).models['boosted_trees']\n"
        names = {}
        exec(code, names)
        return names

    return make, home, dataset, text


def test_its_code_takes_the_line_of_the_training_and_what_the_model_was_made_by(made_again):
    make, _home, dataset, text = made_again
    found = make()
    assert found["dataset"].identity == dataset.identity
    assert found["line"].list.capacity == 2
    # line.toml never named these families: the recipe was the champion's
    assert found["line"].learning.families == ("product", "route")
    assert "`line.toml` named another: no command does it." in text
    assert "qma train tiny --date" not in text


def test_its_code_makes_no_home_and_says_where_none_is(made_again, monkeypatch, tmp_path):
    make, *_rest = made_again
    monkeypatch.delenv("QMA_HOME")
    with pytest.raises(HomeError, match="qma-home: there is no home.*QMA_HOME"):
        make()
    assert not (tmp_path / "qma-home").exists()


def test_its_code_says_what_differs_and_what_to_do(made_again, plant, tmp_path):
    make, home, dataset, _text = made_again
    plant(product="P2")
    shutil.rmtree(home.lake("tiny"))
    shutil.copytree(tmp_path / "lake-1", home.lake("tiny"))
    expected = f"features or labels differ: their digest is [0-9a-f]+, expected {dataset.identity['digest']}. Install"
    with pytest.raises(AssertionError, match=expected):
        make()
    shutil.rmtree(home.definitions("tiny"))
    with pytest.raises(LineError, match=r"cannot be read.*restore it from a backup, or put that text in the place of"):
        make()


def test_the_command_is_told_where_it_makes_the_same_model(plant, tiny_line, tmp_path):
    plant()
    night = Lake(tmp_path / "lake-0").at(pd.Timestamp("2027-01-01 04:00", tz="UTC"))
    said = "While `line.toml` has the digest under Data, `qma train tiny --date 2027-01-01` does it."
    assert said in card_of(*trained(night, tiny_line))
    between = Lake(tmp_path / "lake-0").at(pd.Timestamp("2027-01-01 05:00", tz="UTC"))
    assert "No list is made as of that moment, so that no command does it." in card_of(*trained(between, tiny_line))


def test_limits_name_products_and_machines_and_what_is_not_known(plant):
    said = lines_of(card_of(*trained(*plant())), "Limits of validity")
    assert "* unit.product: P1 (4 units)" in said
    assert "* oven.machine: O1 (4 units)" in said
    assert any(line.startswith("* Inspections: 4 of 4 units have no label.") for line in said)


def test_clocks_that_are_only_declared_are_a_known_failure_mode(plant):
    said = lines_of(card_of(*trained(*plant())), "Known failure modes")
    assert any(
        "When rows of inspections, readings, tags, units, visits could be read is not recorded" in s for s in said
    )


def test_the_same_training_has_the_same_card_to_the_byte(plant):
    dataset, training = trained(*plant())
    again = replace(dataset, X=dataset.X.copy(), identity=dict(reversed(dataset.identity.items())))
    assert card_of(again, training) == card_of(dataset, training)


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
