import pytest

from qma_predict.features.units import feature_families, feature_tags, feature_units


def tag(name, unit, *, station="press", since="2026-03-01", **more):
    return {"station": station, "tag": name, "unit": unit, "valid_from": since} | more


def with_units(line, units, *families):
    learning = line.learning.model_copy(update={"families": families or line.learning.families})
    return line.model_copy(update={"units": units, "learning": learning})


def units_of(history, line, *names):
    return list(feature_units(history, line, names).values())


def test_units_of_readings_are_those_of_their_tags(make_history, tiny_line):
    history = make_history({"tags": [tag("force", "kN"), tag("heat", None), tag("spindle.temp", "degC")]})
    names = [f"press.force.{one}" for one in ("last", "mean", "spread", "slope", "count", "deviation")]
    assert units_of(history, tiny_line, *names) == ["kN", "kN", "kN", "kN/h", "", "kN"]
    assert units_of(history, tiny_line, "press.spindle.temp.last", "press.heat.slope") == ["degC", ""]
    assert units_of(history, tiny_line, "oven.force.last", "press.machine") == ["", ""]


def test_the_newest_row_of_tags_counts_as_known_at_the_moment_asked_about(make_history, tiny_line):
    rows = [tag("force", "N", since="2026-03-05"), tag("force", "kN"), tag("force", "MN", recorded_at="2026-03-03")]
    history = make_history({"tags": rows})
    assert units_of(history, tiny_line, "press.force.last") == ["N"]
    assert units_of(history.at("2026-03-04 00:00+00:00"), tiny_line, "press.force.last") == ["MN"]
    assert units_of(history.at("2026-03-02 00:00+00:00"), tiny_line, "press.force.last") == ["kN"]


def test_the_first_pattern_of_the_line_that_fits_comes_before_the_table(make_history, tiny_line):
    history = make_history({"tags": [tag("force", "kN"), tag("speed", "mm/s"), tag("heat_1", "degF")]})
    line = with_units(tiny_line, {"press.force": "N", "*.heat_?": "degC", "press.heat_1": "K"})
    names = ("press.force.last", "press.speed.last", "press.heat_1.slope", "press.force_2.last")
    assert units_of(history, line, *names) == ["N", "mm/s", "degC/h", ""]


def test_features_of_what_a_unit_was_made_from_have_the_units_of_their_tags(make_history, tiny_line):
    history = make_history({"tags": [tag("force", "kN")]})
    line = with_units(tiny_line, {"press.heat": "degC"})
    names = ("bottom.press.force.last", "bottom.piston.press.heat.slope", "bottom.press.speed.last", "bottom.x.machine")
    assert units_of(history, line, *names) == ["kN", "degC/h", "", ""]


def test_every_family_says_its_units(make_history, tiny_line):
    line = with_units(tiny_line, {"*.force": "kN"}, "times", "events", "inspections", "limits", "calendar")
    named = {
        "press.stay": "min",
        "oven.wait": "min",
        "press.tool_change.hours_since": "h",
        "press.tool_change.units_since": "",
        "weigh.mass.margin": "",
        "press.force.beyond": "kN",
        "press.force.share_beyond": "",
        "calendar.hour": "h",
        "calendar.weekday": "",
    }
    assert feature_units(make_history({}), line, named) == named


@pytest.mark.parametrize("name", ["", "last", ".last", "press.last", "press..last", "nothing.known"])
def test_a_name_that_is_no_feature_has_no_unit(make_history, tiny_line, name):
    assert units_of(make_history({"tags": [tag("force", "kN")]}), tiny_line, name) == [""]


def test_a_feature_is_of_the_last_family_that_has_its_statistic(tiny_line):
    line = with_units(tiny_line, {}, "route", "readings", "limits")
    names = ("press.force.last", "press.force.beyond", "bottom.press.machine", "press.force.margin", "last")
    assert list(feature_families(line, names).values()) == ["readings", "limits", "route", "", "readings"]


def test_features_that_tell_of_readings_have_the_tag_whatever_their_own_unit(tiny_line):
    line = with_units(
        tiny_line, {}, "product", "route", "readings", "limits", "previous", "recent", "times", "calendar"
    )
    tags = {
        "press.force.last": "press.force",
        "press.force.count": "press.force",
        "press.force.share_beyond": "press.force",
        "press.force.change": "press.force",
        "bottom.press.force.mean": "bottom.press.force",
    }
    others = ["unit.product", "press.machine", "press.machine.defect_rate", "oven.wait", "calendar.hour", "last.own"]
    assert feature_tags(line, [*others, *tags]) == tags
    assert feature_tags(with_units(tiny_line, {}, "times"), tags) == {}
