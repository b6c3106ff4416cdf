import pytest
from lightgbm import LGBMClassifier

from qma_predict.learn.blend import CalibratedBlend
from qma_predict.learn.recipes import RECIPES, make_recipe
from qma_predict.learn.space import Range, search_space


@pytest.mark.parametrize("name", [*RECIPES, "sklearn.ensemble.HistGradientBoostingClassifier"])
def test_a_recipe_has_its_own_values_within_its_space_and_takes_the_ends(name):
    recipe = make_recipe(name)
    space = search_space(recipe)
    assert len(space) <= 8
    for parameter, values in space.items():
        own = recipe.get_params()[parameter]
        assert values.low <= own <= values.high
        assert values.low < values.high
        for end in (values.low, values.high):
            assert isinstance(end, int) == values.whole
            assert make_recipe(name, **{parameter: end}).get_params()[parameter] == end


def test_members_of_a_blend_have_their_own_parameters():
    small, large = LGBMClassifier(num_leaves=4), LGBMClassifier(num_leaves=16)
    space = search_space(CalibratedBlend([("small", small), ("large", large)]))
    assert space["small__num_leaves"] == Range(2, 16, whole=True)  # four times less or more, but not below 2
    assert space["large__num_leaves"] == Range(4, 64, whole=True)


def test_of_a_class_that_is_not_known_only_the_calibration_is_searched():
    assert list(search_space(make_recipe("sklearn.naive_bayes.GaussianNB"))) == ["strength"]


def test_a_value_outside_widens_the_range():
    assert Range(1.0, 2.0).including(5.0) == Range(1.0, 5.0)
    assert Range(1.0, 2.0).including(1.5) == Range(1.0, 2.0)


def test_a_value_without_a_logarithm_leaves_the_range_as_it_is():
    assert Range(1.0, 2.0).including(0.0) == Range(1.0, 2.0)
    assert [value in Range(1.0, 2.0) for value in (0.0, 1.0, 2.0, 2.1)] == [False, True, True, False]
