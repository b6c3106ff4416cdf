"""How far inspectors agree with the truth, with each other and with themselves, and what that means for labels.

From an attribute agreement study (AIAG, Measurement Systems Analysis, 4th edition 2010): units, of which the true
state is known, are judged by several inspectors, several times each, who do not know it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from qma_predict.data.lake import History
from qma_predict.learn.rates import Rate, corrected_rate, percent, wilson
from qma_predict.line import Line

ALL = "all"
"""Row of all inspectors together: a unit at the gate is judged by any one of them, once."""

_ALIKE = "no kappa {}, for all of these verdicts are the same"


@dataclass(frozen=True)
class Agreement:
    """What a study says of the inspectors, and what follows for a line's labels.

    Attributes
    ----------
    inspectors : DataFrame, indexed by ``inspector``, `ALL` last
        ``units``; ``sensitivity``, share of true defects that were failed, ``specificity``, share of good units that
        were passed, each with ``_low`` and ``_high``; ``repeated``, units that an inspector judged several times, and
        ``within``, kappa of those verdicts (NaN: there is none, or they are all the same).
    between : float
        Kappa of different inspectors' first verdicts; NaN as for ``within``.
    shared : int
        Units that several inspectors judged.
    defects, goods : int
        Units of the study whose true state is known.
    recorded : Rate
        Share of units recorded as defect at the gate.
    corrected : Rate
        Share of true defects behind it; see `corrected_rate`.
    precision, recall : Rate
        What a model that knows the truth would reach, measured against what inspectors record; NaN where the corrected
        rate is. The limits of recall are those at the limits of sensitivity, specificity and corrected rate together,
        and so rather wide.
    """

    inspectors: pd.DataFrame
    between: float
    shared: int
    defects: int
    goods: int
    recorded: Rate
    corrected: Rate
    precision: Rate
    recall: Rate

    @property
    def sentence(self) -> str:
        """The same in plain words."""
        who, count = self.inspectors.loc[ALL], len(self.inspectors) - 1
        several, fail, pass_ = ("s", ": they fail", "pass") if count > 1 else ("", ", who fails", "passes")
        study = (
            f"agreement study of {count} inspector{several} on {int(who['units'])} units{fail} "
            f"{_rate(who, 'sensitivity')} of the defects and {pass_} {_rate(who, 'specificity')} of the good units; "
            f"{self._kappas}"
        )
        if np.isnan(self.corrected.value):
            return f"{study}; {self._not_corrected}"
        recall = "" if np.isnan(self.recall.value) else f" and a recall of {_limits(self.recall)}"
        return (
            f"{study}; behind {percent(self.recorded.value)} recorded defects are {self.corrected} true ones, and a "
            f"model that knows them all would be measured with a precision of {_limits(self.precision)}{recall}"
        )

    @property
    def _kappas(self) -> str:
        """Kappa within and between inspectors, or why there is none; of one inspector there is none between."""
        within, repeated = self.inspectors.loc[ALL, ["within", "repeated"]]
        told = [
            (within, "with themselves", "no unit was judged twice by the same inspector", repeated),
            (self.between, "with each other", "no unit was judged by two inspectors", self.shared),
        ][: len(self.inspectors) - 1]
        if not np.isnan([value for value, *_ in told]).any():
            return "kappa " + ", ".join(f"{value:.2f} {whom}" for value, whom, *_ in told)
        return "; ".join(
            f"kappa {value:.2f} {whom}" if not np.isnan(value) else _ALIKE.format(whom) if units else none
            for value, whom, none, units in told
        )

    @property
    def _not_corrected(self) -> str:
        """Why the recorded rate is not corrected."""
        who, recorded = self.inspectors.loc[ALL], self.recorded
        se, sp = _rate(who, "sensitivity"), _rate(who, "specificity")
        if np.isnan(recorded.value):
            return "no unit of the gate has a label yet"
        if not se.value + sp.value > 1 or 1 - sp.value <= recorded.value <= se.value:
            return "that is too little to correct the defect rate by"
        few = recorded.value < 1 - sp.value
        apart = recorded.high < 1 - sp.high if few else recorded.low > se.high
        than, state, often = ("fewer", "good", 1 - sp.value) if few else ("more", "defect", se.value)
        return (
            f"the gate records {percent(recorded.value)} defects, {than} than such inspectors would on {state} units "
            f"alone ({percent(often)}), so that the study "
            + ("does not hold for the gate" if apart else "does not hold for the gate or has too few units to say")
            + ": its units may be harder to judge than the gate's. What is behind the records is not known; repeat the "
            f"study with {state} units as they come to the gate"
        )


def agreement(history: History, line: Line, recorded: Rate, size: float) -> Agreement | None:
    """What the study among a line's data says, as known at the history's `as_of`; None if there is none.

    Parameters
    ----------
    history : History
    line : Line
    recorded : Rate
        Share of units recorded as defect at the gate, over all units.
    size : float
        The (effective) number of units that it was observed on.

    Notes
    -----
    The study's verdicts on the characteristics of a unit are one verdict, as at the gate: failed if any of them was.
    Those on characteristics that do not count there are left out. Verdicts on the same unit are not independent; the
    intervals count units, not verdicts, and are rather wide. Inspectors who know that they are tested may be better
    than at the gate, and its units harder than usual.
    """
    judged = verdicts(history, line)
    if judged.empty:
        return None
    table = pd.DataFrame({name: _of(rows) for name, rows in [*judged.groupby("inspector"), (ALL, judged)]}).T
    table = table.rename_axis("inspector")
    repeats = pd.concat([_pairs(rows) for _, rows in judged.groupby("inspector")])
    table.loc[ALL, ["repeated", "within"]] = [_repeated(repeats), kappa(repeats)]
    firsts = _pairs(judged.sort_values("trial").drop_duplicates(["unit_id", "inspector"]))
    states = judged.dropna(subset=["reference"]).drop_duplicates("unit_id")["reference"].astype(bool)
    defects, goods = int((~states).sum()), int(states.sum())
    se, sp = _rate(table.loc[ALL], "sensitivity"), _rate(table.loc[ALL], "specificity")
    corrected = corrected_rate(recorded.value, size, se.value, defects, sp.value, goods)
    return Agreement(
        inspectors=table,
        between=kappa(firsts),
        shared=_repeated(firsts),
        defects=defects,
        goods=goods,
        recorded=recorded,
        corrected=corrected,
        precision=Rate(np.nan, np.nan, np.nan) if np.isnan(corrected.value) else se,
        recall=Rate(*map(ceiling_on_recall, corrected, se, sp)),  # it grows with each of them
    )


def verdicts(history: History, line: Line) -> pd.DataFrame:
    """Verdicts of the study on what the gate decides by, or on the unit as a whole.

    Returns
    -------
    DataFrame
        ``unit_id``, ``inspector``, ``trial``, ``passed``, and ``reference``, the true state.
    """
    rows = history.newest("agreement").to_pandas()
    rows = rows[_counts(rows, line)].astype({"reference": "boolean"})
    of_unit = rows.groupby(["unit_id", "inspector", "trial"])
    return of_unit.agg(passed=("passed", "all"), reference=("reference", _all_good)).reset_index()


def left_out(history: History, line: Line) -> str:
    """Sentence on the study's verdicts that do not count at the gate; empty if all do."""
    rows = history.newest("agreement").to_pandas()
    others = sorted(rows.loc[~_counts(rows, line), "characteristic"].unique())
    if not others:
        return ""
    return (
        f"the agreement study's verdicts on {', '.join(others)} are left out: gate.characteristics are "
        f"{', '.join(line.gate.characteristics)}"
    )


def _counts(rows: pd.DataFrame, line: Line) -> pd.Series:
    return rows["characteristic"].fillna("").isin(["", *line.gate.characteristics])


def _all_good(states: pd.Series) -> object:
    """Missing unless every state is known or one is a defect."""
    return states.all(skipna=False)


def ceiling_on_recall(rate: float, sensitivity: float, specificity: float) -> float:
    """Share of true defects among recorded ones: no model finds the others but by luck.

        p Se / (p Se + (1 - p) (1 - Sp))

    A model that knows the true defects, p of all units, is measured against what inspectors recorded. Of its
    alarms they recorded the share Se as defects: its precision. Its recall is this.

    Examples
    --------
    Of 1000 units 20 are defect; 18 of them are recorded, and 9.8 good ones too:

    >>> round(ceiling_on_recall(0.02, 0.9, 0.99), 3)
    0.647
    """
    found, wrong = rate * sensitivity, (1 - rate) * (1 - specificity)
    return found / (found + wrong) if found + wrong > 0 else np.nan


def kappa(counts: pd.DataFrame) -> float:
    """Agreement of several verdicts on the same unit beyond chance, for two classes.

        1 - sum over units of x (m - x) / m  /  (N (mean of m - 1) p (1 - p))

    with x failures among m verdicts on a unit, N units and p the share of failures among all verdicts: Fleiss' kappa,
    for numbers of verdicts that may differ.

    Parameters
    ----------
    counts : DataFrame, shape (n_units, 2)
        ``failed`` and ``judged``; units with one verdict are left out.

    Returns
    -------
    float
        1 if all agree, 0 as by chance; NaN where all verdicts are the same, or none was repeated.

    References
    ----------
    Fleiss, J. L. and Cuzick, J. (1979). The reliability of dichotomous judgments: unequal numbers of judges per
    subject. Applied Psychological Measurement 3, 537-542.

    Examples
    --------
    Ten units, two verdicts each: four failed twice, five passed twice, one disputed:

    >>> round(kappa(pd.DataFrame({"failed": [2] * 4 + [0] * 5 + [1], "judged": 2})), 3)
    0.798
    """
    repeated = counts[counts["judged"] > 1]
    x, m = repeated["failed"], repeated["judged"]
    if not len(m):
        return np.nan
    p = x.sum() / m.sum()
    by_chance = len(m) * (m.mean() - 1) * p * (1 - p)
    return float(1 - (x * (m - x) / m).sum() / by_chance) if by_chance > 0 else np.nan


def _repeated(counts: pd.DataFrame) -> int:
    """Units with several verdicts."""
    return int((counts["judged"] > 1).sum())


def _pairs(judged: pd.DataFrame) -> pd.DataFrame:
    """How many verdicts there are on each unit, and how many of them failed it."""
    return (~judged["passed"]).groupby(judged["unit_id"]).agg(failed="sum", judged="count")


def _of(judged: pd.DataFrame) -> dict[str, float]:
    """Sensitivity, specificity and kappa of verdicts, with intervals that count units."""
    known = judged[judged["reference"].notna()]
    good = known["reference"].astype(bool)
    told: dict[str, float] = {"units": judged["unit_id"].nunique()}
    for name, rows, right in (
        ("sensitivity", known[~good], ~known["passed"][~good]),
        ("specificity", known[good], known["passed"][good]),
    ):
        rate = wilson(float(right.mean()), rows["unit_id"].nunique())
        told |= {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
    repeats = _pairs(judged)
    return told | {"repeated": _repeated(repeats), "within": kappa(repeats)}


def _rate(row: pd.Series, name: str) -> Rate:
    return Rate(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _limits(rate: Rate) -> str:
    return f"{rate.value:.2f} (from {rate.low:.2f} to {rate.high:.2f})"
