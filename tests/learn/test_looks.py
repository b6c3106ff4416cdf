import pandas as pd

from qma_predict.learn.looks import in_words, looks, spans


def test_blocks_that_only_touch_share_no_time():
    blocks = [["2026-01-05", "2026-01-19"]]
    assert looks(blocks, [[["2025-12-22", "2026-01-05"]], [["2026-01-19", "2026-02-02"]]]) == [0]


def test_a_training_counts_once_a_block_however_many_of_its_own_share_time_with_it():
    blocks = [["2026-01-05", "2026-01-19"], ["2026-01-19", "2026-02-02"]]
    week_later = [["2026-01-01", "2026-01-12"], ["2026-01-12", "2026-01-26"]]
    assert looks(blocks, [week_later, blocks]) == [2, 2]


def test_spans_are_in_the_order_of_time_as_texts_whatever_the_zone_and_precision():
    origin = pd.to_datetime(["2026-01-05 00:00:00.5", "2026-01-05 00:00:01.0"]).tz_localize("Europe/Berlin")
    table = pd.DataFrame({"block": [1, 2], "origin": origin, "end": origin + pd.Timedelta("1D")})
    starts = [start for start, _ in spans(pd.concat([table, table]))]
    assert starts == ["2026-01-04T23:00:00.500000Z", "2026-01-04T23:00:01.000000Z"]
    assert starts == sorted(starts)


def test_one_look_is_one_time():
    assert in_words([1, 1]) == "its blocks were looked at 1 time before"
