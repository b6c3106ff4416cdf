import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from qma_predict.learn.base_rate import base_rate_shift
from qma_predict.learn.calibration import Calibration, fit_slope


def test_no_rows_leave_the_score_as_it_is():
    assert fit_slope([], [])[0] == 1.0


def test_a_slope_and_an_offset_that_are_true_are_found_with_many_defects():
    rng = np.random.default_rng(0)
    z = rng.normal(-2.0, 1.5, 200_000)
    y = rng.random(z.size) < expit(0.6 * z + 0.5)
    assert fit_slope(expit(z), y)[0] == pytest.approx(0.6, abs=0.02)
    fitted = Calibration().fit(expit(z), y, base_rate=y.mean(), learnt_from=1000)
    at = np.array([-4.0, -2.0, 0.0])
    np.testing.assert_allclose(fitted.apply(expit(at)), expit(0.6 * at + 0.5), rtol=0.15)


def test_the_slope_is_what_the_penalised_likelihood_says():
    # Two blocks of equal rows: by symmetry the level is 0, and the slope b solves 40 (expit(b) - 3/4) + 20 (b - 1) = 0.
    slope, point = fit_slope([expit(1.0)] * 20 + [expit(-1.0)] * 20, [1] * 15 + [0] * 5 + [0] * 15 + [1] * 5)
    assert point == pytest.approx(0.0)
    assert 40 * (expit(slope) - 0.75) + 20 * (slope - 1.0) == pytest.approx(0.0, abs=1e-3)


def test_a_drifting_base_rate_does_not_look_like_a_slope():
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(-3.0, 1.0, 20_000), rng.normal(-2.0, 1.0, 20_000)])
    block = np.repeat([0, 1], 20_000)
    y = rng.random(z.size) < expit(z - 2.0 * block)  # the second scorer promises too many
    assert fit_slope(expit(z), y, block=block)[0] == pytest.approx(1.0, abs=0.05)
    assert fit_slope(expit(z), y)[0] < 0.75


def test_scores_that_rank_backwards_keep_their_order():
    rng = np.random.default_rng(0)
    z = rng.normal(size=5000)
    y = rng.random(5000) < expit(-2.0 * z)
    fitted = Calibration().fit(expit(z), y, base_rate=y.mean(), learnt_from=1000)
    assert fitted.slope_ > 0
    assert (np.diff(fitted.apply(np.sort(expit(z)))) > 0).all()


@settings(deadline=None, max_examples=50)  # a busy machine is no error
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=40), st.floats(0.1, 1000))
def test_ranking_is_never_reversed(rows, strength):
    score, y = np.array(rows).T
    fitted = Calibration(strength).fit(score, y, base_rate=0.3, learnt_from=10)
    calibrated = fitted.apply(np.sort(score))
    assert (np.diff(calibrated) >= 0).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


def test_what_the_model_in_use_has_caught_up_with_is_not_added_twice():
    rng = np.random.default_rng(0)
    z = rng.normal(-3.0, 1.0, 40_000)
    y = rng.random(z.size) < expit(z + 1.0)  # the base rate has risen since the scorer learnt

    def level(learnt_rate):
        rates = np.full(len(y), learnt_rate)
        fitted = Calibration().fit(expit(z), y, base_rate=0.1, learnt_from=100, learnt_rate=rates)
        return logit(fitted.apply([0.05])[0]) - logit(0.05)

    assert level(0.1) == pytest.approx(1.0, abs=0.1)
    assert level(expit(logit(0.1) - 0.6)) == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize(("factor", "jumped"), [(3.0, True), (1.1, False), (0.3, True)])
def test_the_level_is_near_that_of_the_newest_block_and_a_jump_is_noticed(factor, jumped):
    rng = np.random.default_rng(0)
    chance = np.clip(rng.gamma(2.0, 0.02, 9000), 0, 0.25)
    block = np.repeat([0, 1, 2], 3000)
    y = (rng.random(9000) < np.where(block == 2, factor * chance, chance)).astype(int)
    fitted = Calibration().fit(chance, y, base_rate=0.04, learnt_from=100, block=block)
    promised = fitted.apply(chance[block == 2]).sum()
    assert fitted.drift_.is_significant == bool(fitted.drift_.notice) == jumped
    assert y[block == 2].sum() / promised == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("score", [[-0.1, 0.5], [0.5, 1.1], [np.nan, 0.5]])
def test_scores_that_are_not_probabilities_are_refused(score):
    with pytest.raises(ValueError, match="probabilities within"):
        fit_slope(score, [0, 1])


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="2 scores but 1 labels"):
        fit_slope([0.5, 0.5], [1])


def scored(rows, rate, seed=0):
    """Scores that say half of the true chance, and what came of them."""
    rng = np.random.default_rng(seed)
    chance = np.clip(rng.gamma(2.0, rate / 2, rows), 0, 0.9)
    return chance / 2, (rng.random(rows) < chance).astype(int), chance


@pytest.mark.parametrize(
    ("rows", "rate", "method"), [(300, 0.02, "ranking"), (3000, 0.02, "sigmoid"), (60_000, 0.03, "isotonic")]
)
def test_the_number_of_defects_decides_the_method(rows, rate, method):
    score, y, _ = scored(rows, rate)
    model = Calibration().fit(score, y, base_rate=rate, learnt_from=100)
    assert model.method_ == method
    assert model.is_ranking_ == (method == "ranking")
    assert (model.rows_, model.defects_) == (rows, y.sum())


def test_goods_count_where_they_are_the_rarer():
    model = Calibration().fit([0.9] * 1000, [1] * 991 + [0] * 9, base_rate=0.99, learnt_from=9)
    assert model.method_ == "ranking"


def test_a_ranking_is_shrunk_to_the_base_rate_by_the_defects_learnt_from():
    model = Calibration().fit([], [], base_rate=0.05, learnt_from=20)
    assert model.slope_ == 0.5
    assert model.apply([0.05])[0] == pytest.approx(0.05)
    assert logit(model.apply([0.5])[0]) == pytest.approx((logit(0.99 * 0.5 + 0.01 * 0.05) + logit(0.05)) / 2)
    never = Calibration().fit([], [], base_rate=0.05, learnt_from=0)
    assert never.apply([0.0, 0.9]).tolist() == pytest.approx([0.05, 0.05])


def test_many_defects_find_what_no_sigmoid_can():
    rng = np.random.default_rng(0)
    score = rng.random(200_000)
    chance = np.where(score < 0.5, 0.05, np.where(score < 0.8, 0.06, 0.6))
    y = (rng.random(score.size) < chance).astype(int)
    model = Calibration().fit(score, y, base_rate=y.mean(), learnt_from=1000)
    found = model.apply([0.7])[0]
    sigmoid = expit(model.slope_ * logit(0.7) + model.offset_)
    assert abs(found - 0.06) < 0.5 * abs(sigmoid - 0.06)
    ordered = model.apply(np.linspace(0, 1, 5001))
    assert (np.diff(ordered) > 0).all()  # within a step too


@pytest.mark.parametrize(("rows", "within"), [(3000, 0.25), (60_000, 0.05)])
def test_probabilities_come_true_on_new_rows_the_more_the_better(rows, within):
    score, y, _ = scored(rows, 0.04)
    model = Calibration().fit(score, y, base_rate=0.04, learnt_from=100)
    new, _, chance = scored(rows, 0.04, seed=1)
    assert model.apply(new).sum() == pytest.approx(chance.sum(), rel=within)


def test_following_keeps_the_ranking_and_forgets_the_last_time():
    score, y, _ = scored(3000, 0.04)
    model = Calibration().fit(score, y, base_rate=0.04, learnt_from=100)
    before = model.apply(score)
    model.follow(score, np.ones(3000))
    assert model.follow(score, y).ratio == pytest.approx(y.sum() / before.sum())
    assert model.apply(score).sum() == pytest.approx(y.sum(), rel=0.02)


def test_weights_count_as_rows():
    score, y, _ = scored(2000, 0.05)
    times = np.arange(2000) % 3
    weighted = fit_slope(score, y, sample_weight=times)
    repeated = fit_slope(np.repeat(score, times), np.repeat(y, times))
    assert weighted == pytest.approx(repeated, abs=1e-3)


def jumping(rows, at, factor, seed=0):
    """Scores, and outcomes whose rate jumps: the later rows of a model that learnt four percent."""
    rng = np.random.default_rng(seed)
    chance = np.clip(rng.gamma(2.0, 0.02, rows), 0, 0.25)
    return chance, (rng.random(rows) < np.where(np.arange(rows) >= at, factor, 1.0) * chance).astype(int)


@pytest.mark.parametrize(
    ("at", "factor", "noticed"),
    [(3000, 1.0, False), (1500, 2.5, True), (1500, 0.3, True), (0, 2.0, True), (0, 0.5, True)],
    ids=["none", "up at half", "down at half", "up before the block", "down before the block"],
)
def test_a_jump_is_noticed_by_a_single_block(at, factor, noticed):
    score, y = jumping(3000, at, factor)
    rate = (600 + y.sum()) / 18_000
    learnt = {"base_rate": rate, "learnt_from": 600 + y.sum(), "learnt_rate": np.full(3000, 0.04)}
    drift = Calibration().fit(score, y, **learnt).drift_
    assert drift.is_significant == bool(drift.notice) == noticed
    assert not noticed or np.sign(drift.log_odds) == np.sign(factor - 1.0)


def test_the_level_of_a_single_block_is_near_that_of_its_newer_half():
    score, y = jumping(6000, 3000, 1.6)
    fitted = Calibration().fit(score, y, base_rate=0.04, learnt_from=100)
    assert y[3000:].sum() / fitted.apply(score[3000:]).sum() == pytest.approx(1.0, abs=0.12)


def test_a_classifier_that_is_too_sure_is_no_jump_of_the_rate():
    score, y = jumping(3000, 0, 1.0)
    learnt = {"base_rate": 0.04, "learnt_from": 720, "learnt_rate": np.full(3000, 0.04)}
    assert not Calibration().fit(score**2, y, **learnt).drift_.is_significant
    assert not Calibration().fit(np.sqrt(score), y, **learnt).drift_.is_significant


def test_equal_scores_get_one_rate_whatever_the_order_of_their_rows():
    score = np.repeat([0.1, 0.3], [5000, 2000])
    y = np.repeat([1, 0, 1, 0], [600, 4400, 700, 1300])
    for order in (np.arange(7000), np.arange(7000)[::-1], np.random.default_rng(0).permutation(7000)):
        model = Calibration().fit(score[order], y[order], base_rate=1300 / 7000, learnt_from=1300)
        assert model.method_ == "isotonic"
        assert model.steps_[1].tolist() == pytest.approx(logit([600.5 / 5001, 700.5 / 2001]))


def test_rows_that_weigh_nothing_have_no_step():
    score, y, _ = scored(60_000, 0.04)
    weight = (np.arange(60_000) % 2).astype(float)
    model = Calibration().fit(score, y, base_rate=0.04, learnt_from=100, sample_weight=weight)
    assert model.method_ == "isotonic"
    assert np.isfinite(model.steps_).all()
    assert model.apply(score[weight > 0]).sum() == pytest.approx(y[weight > 0].sum(), rel=0.05)


@pytest.mark.parametrize("blocks", [1, 3])
def test_unequal_weights_make_no_jump(blocks):
    noticed = 0
    for seed in range(60):
        score, y = jumping(3000, 3000, 1.0, seed)
        weight = np.where(np.random.default_rng(100 + seed).random(3000) < 0.1, 20.0, 1.0)
        block = np.arange(3000) * blocks // 3000
        fitted = Calibration().fit(score, y, base_rate=0.04, learnt_from=720, block=block, sample_weight=weight)
        noticed += fitted.drift_.is_significant
    assert noticed <= 1


def test_what_the_defects_are_worth_does_not_depend_on_the_unit_of_the_weights():
    score, y, _ = scored(3000, 0.04)
    plain = Calibration().fit(score, y, base_rate=0.04, learnt_from=100)
    fitted = Calibration().fit(score, y, base_rate=0.04, learnt_from=100, sample_weight=[7.0] * 3000)
    assert plain.worth_ == plain.defects_
    assert fitted.worth_ == pytest.approx(plain.defects_)


def test_a_rate_that_moved_as_promised_but_less_far_is_no_jump():
    y = np.arange(3000) % 33 == 0  # 91 defects: the scores promise 31 of them, the rate learnt 300
    learnt = {"base_rate": 0.04, "learnt_from": 1000, "learnt_rate": np.full(3000, 0.1)}
    assert not Calibration().fit(np.full(3000, 0.01), y, **learnt).drift_.is_significant
    assert Calibration().fit(np.full(3000, 0.01), y, **learnt | {"learnt_rate": np.full(3000, 0.01)}).drift_.notice


@pytest.mark.parametrize(("learnt_from", "noticed"), [(60, False), (2000, True)])
def test_few_defects_that_were_learnt_from_are_worth_less_where_weights_differ(learnt_from, noticed):
    score, y = jumping(3000, 0, 2.0)
    weight = np.where(np.random.default_rng(1).random(3000) < 0.1, 20.0, 1.0)
    learnt = {"base_rate": 0.04, "learnt_from": learnt_from + y.sum(), "learnt_rate": np.full(3000, 0.04)}
    assert Calibration().fit(score, y, sample_weight=weight, **learnt).drift_.is_significant == noticed


def test_following_reckons_with_what_the_defects_were_worth():
    score, y = jumping(3000, 0, 1.0)
    weight = np.where(np.random.default_rng(1).random(3000) < 0.1, 20.0, 1.0)
    model = Calibration().fit(score, y, base_rate=0.04, learnt_from=720, sample_weight=weight)
    assert 10 < model.worth_ < 0.5 * model.defects_
    expected = base_rate_shift(model.apply(score), y, known_from=model.worth_)
    assert model.follow(score, y) == expected
