import pandas as pd

from qma_predict.data.contract import check
from qma_predict.line import Source

NOW = pd.Timestamp("2025-06-01 12:00", tz="UTC")


def test_a_study_of_the_inspectors_is_a_source_like_others():
    source = Source.model_validate(
        {
            **{"table": "agreement", "path": "msa-*.csv", "delay": "0 s", "timezone": "Europe/Berlin"},
            "columns": {"unit_id": "Teil", "inspector": "Pruefer", "trial": "Durchgang", "passed": "Urteil"},
            "values": {"passed": {"gut": "OK", "schlecht": "NOK"}, "reference": {"gut": "OK", "schlecht": "NOK"}},
        }
    )
    row = {"Teil": "7", "Pruefer": "P1", "Durchgang": "1", "Urteil": "gut", "occurred_at": "2025-05-01 10:00"}
    raw = pd.DataFrame([row | {"reference": "schlecht"}, row | {"reference": None}, row | {"Urteil": None}])
    rows, reasons = check(raw.astype("str"), source, NOW)
    assert reasons.tolist() == ["", "", "passed: missing"]
    assert rows.loc[0, ["unit_id", "characteristic", "inspector", "trial"]].tolist() == ["7", "", "P1", "1"]
    assert rows["passed"].tolist()[:2] == [True, True]
    assert rows["reference"].tolist()[0] is False
    assert pd.isna(rows["reference"].tolist()[1])
