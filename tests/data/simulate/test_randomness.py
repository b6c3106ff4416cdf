import numpy as np

from qma_predict.data.simulate.randomness import ar1, delay, one_in, spread_uniform, stream


def test_an_ar1_series_is_standard_and_forgets_at_the_stated_rate():
    series = ar1(stream(1, "test"), 200_000, memory=10.0)
    assert series.dtype == np.float32
    assert abs(series.mean()) < 0.05
    assert abs(series.std() - 1.0) < 0.03
    neighbours = np.corrcoef(series[:-1], series[1:])[0, 1]
    assert abs(neighbours - np.exp(-0.1)) < 0.01


def test_an_ar1_series_starts_stationary():
    rng = stream(2, "test")
    starts = np.array([ar1(rng, 1, memory=50.0)[0] for _ in range(4000)])
    assert abs(starts.std() - 1.0) < 0.06


def test_spread_uniform_puts_one_number_into_every_slice():
    numbers = spread_uniform(stream(3, "test"), 10)
    assert sorted(int(number * 10) for number in numbers) == list(range(10))


def test_one_in_marks_one_place_of_every_complete_block():
    mask = one_in(stream(4, "test"), 23, 5)
    assert mask.size == 23
    assert mask[:20].reshape(4, 5).sum(axis=1).tolist() == [1, 1, 1, 1]
    assert mask[20:].sum() <= 1


def test_delays_are_whole_positive_seconds_and_the_late_ones_last_hours_to_days():
    waits = delay(stream(5, "test"), 100_000, typical=20.0, late_share=0.02)
    assert waits.dtype == np.int64
    assert waits.min() >= 1
    late = waits > 161
    assert abs(late.mean() - 0.02) < 0.002
    assert waits[late].min() >= 1800
    assert waits.max() <= 4 * 86_400 + 1
