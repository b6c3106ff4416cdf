"""A whole look at a small plant: what alarms, what is only shown, and the page."""

import re
import shutil
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from small_plants import AS_OF, DAY, model, plant, publish, reference

from qma_predict.operate.monitor import Monitoring, metrics, monitor, render
from qma_predict.operate.monitor.alarms import MOST, alarms
from qma_predict.operate.monitor.realised import level

EVIL = '<img src=x onerror="alert(1)">'


def quiet():
    return plant()


def shifted():
    """The oven is hotter since a week."""
    return plant(heat=lambda ago: 9.0 if ago < 7 else 0.0)


def troubled():
    """A sensor with an evil name that is silent, rows and files that are refused, and many more defects."""
    tables = plant(rate=lambda ago: 0.6 if ago < 30 else 0.1, tag=EVIL, heat=lambda ago: None if ago < 4 else 0.0)
    tables["quarantine"] = [{"table": EVIL, "path": "a.csv", "row": 1, "reason": EVIL, "ingested_at": AS_OF}]
    tables["problems"] = [{"table": EVIL, "problem": EVIL, "ingested_at": AS_OF - timedelta(days=2)}]
    return tables


_seen: dict[str, Monitoring] = {}


@pytest.fixture
def look(make_history, tiny_line, tmp_path):
    """Return `look(make)`: the monitoring of a plant with a list a night, looked at once a process."""

    def seen(make, *, tag="heat"):
        if make.__name__ not in _seen:
            publish(tmp_path, tiny_line)
            history = make_history(make(), as_of=AS_OF)
            _seen[make.__name__] = monitor(history, tiny_line, tmp_path, model(tiny_line), reference(tag=tag), DAY)
        return _seen[make.__name__]

    return seen


def resources(html):
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.extend((tag, name, value) for name, value in attributes if name in ("src", "href", "action"))
            if tag in ("script", "link", "iframe", "object"):
                found.append((tag, "", ""))

    Reader().feed(html)
    return [one for one in found if not (one[1] == "href" and one[2].startswith("#"))]


def test_a_quiet_plant_alarms_nobody_and_is_told_in_one_page(look):
    seen = look(quiet)
    assert seen.alarms == ()
    assert seen.state == "OK"
    assert seen.units == 7 * 12
    assert seen.outside <= 2
    assert not seen.drift["drifted"].any()
    assert seen.tags["feature"].unique().tolist() == ["oven.heat.last"]
    assert seen.realised["nights"].sum() == 25  # the labels of the others are not mature
    assert seen.level.shift.ratio == pytest.approx(1.0, abs=0.4)
    html = render(seen)
    assert html == render(seen)
    assert resources(html) == []
    assert "Alarms: none" in html
    assert html.count('role="img"') == 4  # two of the rate, one of the promises, one tag
    assert len(html) < 500_000


def test_numbers_for_a_store_of_runs(look):
    found = metrics(look(quiet))
    assert found["alarms"] == 0.0
    assert found["hours_readings"] == pytest.approx(9.0833, abs=1e-3)
    assert found["rows_readings"] == 24.0
    assert found["units"] == 84.0
    assert 0.0 < found["defect_rate_before"] < 0.2
    assert "week_precision" in found
    assert "seen_late_visits" not in found  # not known: the line was not set up
    assert all(np.isfinite(value) and isinstance(value, float) for value in found.values())
    assert all(re.fullmatch(r"[\w./ -]+", name) for name in found)


def test_drift_alone_never_alarms(look):
    seen = look(shifted)
    assert seen.drift.loc[seen.drift["drifted"], "feature"].tolist() == ["oven.heat.last"]
    assert seen.outside > 80
    assert seen.tags["average_signal"].iloc[-1]
    assert seen.alarms == ()
    html = render(seen)
    assert "1 of 2 features drifted" in html
    assert "Often beyond the training&#39;s range: oven.heat.last (100 in 100)" in html
    assert "average beyond its limits" in html


def test_what_hinders_the_list_broken_promises_and_a_rate_that_stays_up_alarm(look):
    data, of_promises, process = look(troubled, tag=EVIL).alarms
    assert data == f"data: 1 of 2 sensors are missing for most units: oven.{EVIL}"
    broken = r"promises: (\d+) of the last 2\d that can be judged were broken, beyond chance: (\d+) found more"
    counts = re.match(broken, of_promises)
    assert counts[1] == counts[2]
    assert process.startswith("process: the defect rate is above what it was")


def test_text_of_the_plant_is_escaped(look):
    html = render(look(troubled, tag=EVIL))
    assert resources(html) == []
    assert html.count("&lt;img src=x") >= 4  # the alarm, the silent sensor, a refused row, a problem
    assert "Alarms: 3" in html
    assert "Silent for 24 hours, though others reported: oven.&lt;img" in html


@pytest.mark.parametrize(
    ("defects", "said"),
    [
        (42, "42 defects where 42.0 were expected, which chance alone can do"),
        (60, "60 defects where 42.0 were expected: more, though not beyond three standard deviations"),
        (26, "26 defects where 42.0 were expected: fewer, though not beyond three standard deviations"),
        (80, "The defect rate has moved: 80 defects where 42.0 were expected"),
    ],
)
def test_chance_alone_is_said_only_of_what_the_interval_allows(look, defects, said):
    outcome = np.repeat([1.0, 0.0], [defects, 840 - defects])
    rows = pd.DataFrame({"probability": 0.05, "outcome": outcome, "weight": 1.0})
    found = level(rows)
    assert (found.shift.low <= 1 <= found.shift.high) == ("chance" in said)
    assert said in render(replace(look(quiet), level=found))


def test_what_all_weeks_found_is_counted_and_what_it_stands_for_is_told_as_an_estimate(look):
    # 30 defects of 300 checked for certain, and 1 in 40 audits that stand for 25 units each: 31, not 55
    certain = pd.DataFrame({"probability": 0.1, "outcome": np.repeat([1.0, 0.0], [30, 270]), "weight": 1.0})
    audits = pd.DataFrame({"probability": 0.02, "outcome": np.repeat([1.0, 0.0], [1, 39]), "weight": 25.0})
    found = level(pd.concat([certain, audits]))
    assert (found.shift.observed, found.shift.expected) == (pytest.approx(55), pytest.approx(50))
    assert (
        "Over all these weeks 31 defects where 30.8 were expected among the inspected units; over all units about 1.10 "
        "times as many as expected, which chance alone can do (95 % interval of the ratio "
    ) in render(replace(look(quiet), level=found))


def test_a_rate_over_all_units_is_said_to_be_one(look):
    seen = look(quiet)
    judged = seen.rates[~seen.rates["baseline"].astype(bool)]
    units, defects = int(judged["units"].sum()), int(judged["defects"].sum())
    plain = f"{defects} defects in {units} inspected units of the last {len(judged)} judged days of production, up to "
    assert re.search(rf"{plain}[\w ]+: {100 * defects / units:.1f} %(\.|, [\d.]+ % before\.) ", render(seen))
    weighed = seen.rates.assign(rate=0.031, worth=2.5, centre=np.nan)
    assert re.search(
        rf"{plain}[\w ]+: 3.1 % of all units. The days before are too few, or their defects are worth too few",
        render(replace(seen, rates=weighed)),
    )


def test_a_plant_of_which_nothing_is_known_yet(make_history, tiny_line, tmp_path):
    history = make_history({}, as_of=AS_OF)
    seen = monitor(history, tiny_line, tmp_path, model(tiny_line), reference(), DAY)
    assert (seen.state, seen.units, len(seen.rates), len(seen.realised)) == ("", 0, 0, 0)
    assert seen.alarms
    assert all(alarm.startswith("data: ") for alarm in seen.alarms)
    html = render(seen)
    for words in (
        "list of the day: not published",
        "No day of production has matured labels yet.",
        "No outcome of a scored unit is known yet.",
        "No unit became a candidate in the last 7 nights.",
        "There are too few days to tell drift of features from chance.",
    ):
        assert words in html
    assert metrics(seen)["units"] == 0.0


def test_alarms_are_few_and_a_line_without_a_better_model_is_none_each_night(make_history, tiny_line):
    def told(problems):
        rows = [
            {"table": "units", "problem": f"units-{n}.csv is cut", "ingested_at": AS_OF - timedelta(hours=1)}
            for n in range(problems)
        ]
        history = make_history({"problems": rows}, as_of=AS_OF)
        of_model, nothing = model(tiny_line, is_recipe=False), pd.DataFrame()
        rates = pd.DataFrame(columns=["baseline", "average_signal"])
        return alarms(
            history, tiny_line, of_model, reference(), fresh={}, X=nothing, promises=nothing, rates=rates
        )  # fmt: skip

    assert told(0) == ()
    assert len(told(9)) == MOST
    assert told(9)[-1] == "and 5 more"


def test_the_page_is_whole_in_a_browser(look, tmp_path):
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: install one, for example by `apt-get install chromium`")
    (tmp_path / "page.html").write_text(render(look(troubled, tag=EVIL)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--headless=new", "--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        troubles = []
        tab.on("console", lambda message: troubles.append(message.text))
        tab.goto((tmp_path / "page.html").as_uri())
        assert Axe().run(tab).response["violations"] == []
        for width in (1280, 400):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.get_by_role("img").count() == 3
        browser.close()
    assert troubles == []
