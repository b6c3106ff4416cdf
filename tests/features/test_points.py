from qma_predict.features.points import prediction_points
def test_a(lake, line):
    import pandas as pd
    p = prediction_points(lake.at(pd.Timestamp("2026-02-01",tz="UTC")), line)
    print(p.describe(include="all"), p.attrs)
def test_b(make_history, tiny_line):
    h = make_history({"visits": [{"unit_id":"u1","station":"oven","started_at":"2026-03-02 10:00","ended_at":"2026-03-02 11:00"}]})
    p = prediction_points(h, tiny_line)
    print(p.T)
