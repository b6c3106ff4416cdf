import ibis
import pandas as pd
import pytest

from qma_predict.features.families import family


@pytest.fixture
def features_of(tiny_line):
    """Return `features_of(name, history, cutoff="2026-03-02 12:00", unit="u", line=tiny_line)`: a family's features."""

    def features_of(name, history, cutoff="2026-03-02 12:00", unit="u", line=tiny_line):
        moment = pd.Timestamp(cutoff, tz="UTC").as_unit("us")
        points = ibis.memtable(pd.DataFrame({"point": [0], "unit_id": [unit], "cutoff": [moment]}))
        found = {}
        for row in family(name).compute(history, points, line).to_pandas().set_index("of").drop(columns="point").iloc:
            cells = {f"{row.name}.{statistic}": value for statistic, value in row.items() if not pd.isna(value)}
            assert not cells.keys() & found.keys()
            found |= cells
        return found

    return features_of
