import pytest


@pytest.mark.parametrize(
    ("cutoff", "hour", "weekday"),
    [
        ("2026-03-02 12:30:36", 13.51, "mon"),  # Berlin is an hour ahead in winter
        ("2026-03-01 23:00", 0.0, "mon"),
        ("2026-03-01 22:59:59", 23 + 59 / 60 + 59 / 3600, "sun"),
        ("2026-03-29 00:59", 1 + 59 / 60, "sun"),
        ("2026-03-29 01:00", 3.0, "sun"),  # summer time begins
        ("2026-10-25 00:30", 2.5, "sun"),
        ("2026-10-25 01:30", 2.5, "sun"),  # the hour that is there twice
    ],
)
def test_hour_and_weekday_are_local(make_history, features_of, cutoff, hour, weekday):
    found = features_of("calendar", make_history({}), cutoff)
    assert found == {"calendar.hour": pytest.approx(hour, abs=1e-12), "calendar.weekday": weekday}


def test_the_same_time_a_week_later_is_the_same(make_history, features_of):
    history = make_history({})
    first, second = (features_of("calendar", history, cutoff) for cutoff in ("2026-03-02 12:00", "2026-03-09 12:00"))
    assert first == second
