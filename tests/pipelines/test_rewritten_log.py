"""Nights and trainings after the log of champions was rewritten, cut or removed."""

from datetime import UTC, date, datetime, timedelta

import pytest

from pipelines import train
from pipelines.nightly import make_list
from pipelines.tonight import champion_tonight
from qma_predict.errors import ModelError
from qma_predict.line import load_line
from qma_predict.publish.lists import bundle
from qma_predict.publish.models import champion_log, champion_quotes, kept_models, trusted

SECOND = date(2025, 11, 12)
FORGED = {"role": "first", "by": "training", "why": "it is better", "at": datetime(2026, 1, 5, 12, tzinfo=UTC)}


@pytest.fixture
def place(with_one_list):
    """A home of its own with a list, and a kept model that was never champion."""
    model = kept_models.read(with_one_list, "demo", "1")
    folder = with_one_list.models("demo") / "v1"
    fitted, rule = (trusted.loaded((folder / name).read_bytes()) for name in ("model.skops", "baseline.skops"))
    reference = kept_models.load_reference(with_one_list, model)
    assert kept_models.keep(with_one_list, model, fitted, rule, reference).version == "2"
    return with_one_list


def written_anew(place):
    """Another log, with hashes that fit, in which the other model is champion."""
    place.champions("demo").unlink()
    champion_log.append(place, "demo", "promoted", "2", **FORGED)
    assert champion_log.champion(place, "demo").version == "2"


def changed(place):
    file = place.champions("demo")
    file.write_text(file.read_text().replace("there was none", "it is the best"))


def removed(place):
    place.champions("demo").unlink()


@pytest.mark.parametrize("how", [written_anew, changed, removed])
def test_the_model_of_the_newest_list_makes_the_next_one_which_says_so(trained, place, how):
    line, moment = load_line(trained.line), load_line(trained.line).as_of(SECOND)
    quoted = champion_log.head(place, "demo")
    how(place)
    for retrospective in (False, True):
        found = champion_tonight(place, line, moment, retrospective=retrospective)
        assert (found.model.version, found.quoted, found.log, found.challenger) == ("1", quoted, (), None)
        assert found.instead == (
            "the log of champions is not the one that lists quote (qma doctor demo), so that v1 is used, as for the "
            f"list of 2025-11-11, which quotes its entry {quoted[:12]}..."
        )
    with pytest.raises(ModelError, match="(?s)log of champions was .*model v1 was trained with what was known at 2025"):
        champion_tonight(place, line, moment - timedelta(days=5), retrospective=True)


def test_lists_quote_on_what_the_log_was_so_that_it_fits_once_it_is_restored(trained, place):
    whole, quoted = place.champions("demo").read_bytes(), champion_log.head(place, "demo")
    written_anew(place)
    now = load_line(trained.line).as_of(SECOND)
    facts = bundle.verify(make_list(trained.line, str(place.folder), SECOND, clock=lambda: now))["facts"]
    assert facts["state"] == "DEGRADED"
    assert (facts["model"]["version"], facts["provenance"]["champion_log"]) == ("1", quoted)
    assert facts["provenance"]["approved"] == ""
    assert facts["reaction"]["instead"] in facts["state_reasons"]
    page = (place.published("demo") / str(SECOND) / "risk_list.html").read_text()
    assert facts["reaction"]["instead"] in page
    place.champions("demo").write_bytes(whole)
    assert len(champion_quotes.checked(place, "demo")) == 1
    assert champion_tonight(place, load_line(trained.line), now + timedelta(days=1)).instead == ""


def test_a_training_adds_nothing_to_it(trained, place, monkeypatch):
    monkeypatch.setattr(train, "make_dataset", lambda *args: pytest.fail("it was begun"))
    for how in (written_anew, removed):
        how(place)
        before = {path: path.read_bytes() for path in place.champions("demo").parent.iterdir()}
        with pytest.raises(ModelError, match="that the list of 2025-11-11 quotes"):
            train.train_flow.fn(trained.line, str(place.folder), SECOND)
        assert {path: path.read_bytes() for path in place.champions("demo").parent.iterdir()} == before
    assert kept_models.versions(place, "demo") == ["1", "2"]
