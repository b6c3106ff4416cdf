import pytest


def reading(at, value, *, recorded=None, tag="force"):
    row = {"unit_id": "u", "station": "press", "tag": tag, "occurred_at": f"2026-03-02 {at}", "value": value}
    return row if recorded is None else row | {"recorded_at": f"2026-03-02 {recorded}"}


def limits(lower, upper, *, since="2026-03-01 00:00", **more):
    return {"station": "press", "tag": "force", "valid_from": since, "lower": lower, "upper": upper} | more


def beyond(features_of, make_history, values, tags, **more):
    readings = [reading(f"10:0{n}", value) for n, value in enumerate(values)]
    found = features_of("limits", make_history({"readings": readings, "tags": tags, **more}))
    return found.get("press.force.beyond"), found.get("press.force.share_beyond")


@pytest.mark.parametrize(
    ("values", "lower", "upper", "expected"),
    [
        ([10.0, 12.0, 11.0], 10.0, 12.0, (0.0, 0.0)),  # the limits themselves are within
        ([13.0, 11.0, 12.5, 11.0], 10.0, 12.0, (1.0, 0.5)),
        ([9.0, 11.0, 12.5, 11.0], 10.0, 12.0, (1.0, 0.5)),
        ([5.0], 10.0, 12.0, (5.0, 1.0)),
        ([5.0, 13.0], None, 12.0, (1.0, 0.5)),
        ([5.0, 13.0], 10.0, None, (5.0, 0.5)),
        ([5.0, 13.0], None, None, (None, None)),
    ],
)
def test_how_far_and_how_often_readings_lie_beyond(make_history, features_of, values, lower, upper, expected):
    assert beyond(features_of, make_history, values, [limits(lower, upper)]) == expected


@pytest.mark.parametrize(
    ("what", "tags", "expected"),
    [
        ("changed by the cutoff", [limits(0, 10), limits(0, 12, since="2026-03-02 12:00")], 1.0),
        ("changed after it", [limits(0, 10), limits(0, 12, since="2026-03-02 12:00:00.000001")], 3.0),
        ("recorded after it",
         [limits(0, 10), limits(0, 12, since="2026-03-02", recorded_at="2026-03-02 12:00:00.000001")], 3.0),
        ("the product's own", [limits(0, 10), limits(0, 11, product="A")], 2.0),
        ("another product's", [limits(0, 10), limits(0, 11, product="B")], 3.0),
        ("withdrawn", [limits(0, 10), limits(None, None, since="2026-03-02")], None),
        ("of another tag", [limits(0, 10, tag="heat")], None),
    ],
)  # fmt: skip
def test_the_limits_that_hold_at_the_cutoff(make_history, features_of, what, tags, expected):
    units = [{"unit_id": "u", "product": "A", "occurred_at": "2026-03-01"}]
    assert beyond(features_of, make_history, [13.0], tags, units=units)[0] == expected


@pytest.mark.parametrize(("recorded", "expected"), [("12:00", 0.0), ("12:00:00.000001", 3.0)])
def test_a_corrected_reading_counts_only_if_recorded_by_the_cutoff(make_history, features_of, recorded, expected):
    readings = [reading("10:00", 13.0), reading("10:00", 5.0, recorded=recorded)]
    found = features_of("limits", make_history({"readings": readings, "tags": [limits(0, 10)]}))
    assert found == {"press.force.beyond": expected, "press.force.share_beyond": float(expected > 0)}


def test_readings_of_a_machine_belong_to_the_unit_on_it(make_history, features_of):
    history = make_history({
        "readings": [{"machine": "P1", "tag": "force", "occurred_at": "2026-03-02 10:00", "value": 13.0}],
        "visits": [{"unit_id": "u", "station": "press", "machine": "P1",
                    "started_at": "2026-03-02 09:00", "ended_at": "2026-03-02 11:00"}],
        "tags": [limits(0, 10)],
    })  # fmt: skip
    assert features_of("limits", history) == {"press.force.beyond": 3.0, "press.force.share_beyond": 1.0}
