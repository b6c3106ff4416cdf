import numpy as np
import pandas as pd
import pytest

from qma_predict.data.names import normalised


@pytest.mark.parametrize(
    ("rules", "given", "expected"),
    [
        (["upper"], "m1a", "M1A"),
        (["lower"], "M1A", "m1a"),
        (["remove blanks"], "M\t1\u00a0a b", "M1ab"),
        (["remove signs"], "SN-00_7/ä.", "SN007ä"),
        (["remove leading zeros"], "00420", "420"),
        (["remove leading zeros"], "000", "0"),
        (["remove leading zeros"], "0", "0"),
        (["remove prefix SN-"], "SN-12", "12"),
        (["remove prefix SN-"], "12SN-", "12SN-"),
        (["remove prefix SN-"], "SN- 12", "12"),
        (["remove suffix -A"], "12-A", "12"),
        (["add prefix M"], "1", "M1"),
        (["pad 6"], "42", "000042"),
        (["pad 2"], "4711", "4711"),
        (["remove prefix M", "pad 3", "add prefix X"], "M7", "X007"),
        (["add prefix X", "pad 3"], "7", "0X7"),
        ([], " as it is", " as it is"),
    ],
)
def test_rules_are_applied_in_their_order(rules, given, expected):
    assert normalised(pd.Series([given], dtype="str"), rules).tolist() == [expected]


def test_where_nothing_is_left_the_name_is_missing_and_stays_so():
    given = pd.Series(["SN-", "SN-1", None], dtype="str", index=[3, 5, 5])
    read = normalised(given, ["remove prefix SN-", "add prefix M", "pad 4"])
    assert read.dtype == "str"
    assert read.index.tolist() == [3, 5, 5]
    assert read.tolist() == [np.nan, "00M1", np.nan]


def test_nothing_stays_nothing():
    assert normalised(pd.Series([], dtype="str"), ["upper"]).tolist() == []
    assert normalised(pd.Series([None, None], dtype="str"), ["upper"]).isna().all()
