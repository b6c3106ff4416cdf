"""What a model card says of what the model relies on, and whether it does so in every block of time."""

import math

import pandas as pd

from qma_predict.learn.explanations import REST
from qma_predict.learn.reliance import FEW, Reliance
from qma_predict.publish.models.markdown import escaped, table


def relied_on(found: Reliance, units: dict[str, str], *, ranking: bool) -> str:
    """Groups of features by what the ranking loses without them, their stability, and how the risk depends on them.

    Parameters
    ----------
    found : Reliance
    units : dict of str to str
        Unit of measure by feature.
    ranking : bool
        Whether scores are a ranking and not probabilities.
    """
    if not found.blocks:
        return (
            "Not known: no block of the backtest has at least "
            f"{FEW} defects and {FEW} good units after something that could be learnt from."
        )
    rows = [
        [
            "all others" if row["group"] == REST else escaped(row["group"]),
            *(str(row["features"]), f"{row['loss']:.3f}", f"{row['lowest']:.3f} to {row['highest']:.3f}"),
            f"{row['blocks']} of {found.blocks}",
        ]
        for row in found.groups.to_dict("records")
    ]
    head = ["group", "features", "average precision lost", "lowest to highest block", "lost in blocks"]
    parts = [
        "What moves together is one group, named after one of its features. How much worse units of a block are "
        "ranked when the values of a group are dealt out anew among them, by the recipe fitted on a sample of what was "
        "known before the block, against what became of them. The features, their groups and what members of the "
        "recipe weigh are those of the model itself:",
        table(head, rows),
        _stability(found),
    ]
    if found.curves:
        what = "score" if ranking else "risk"
        parts += [
            f"Mean {what} of units of the newest block if a feature had another value and all others stayed as they "
            "are, at values that were observed. It says what the model does, not what a machine would do:",
            "\n".join(f"* {escaped(_curve(name, curve, units))}" for name, curve in found.curves.items()),
        ]
    return "\n\n".join(parts)


def _stability(found: Reliance) -> str:
    stable, unstable = (", ".join(map(escaped, names)) for names in (found.stable, found.unstable))
    chance = f"Losses up to {found.chance:.3f} are taken for chance, since as much is gained elsewhere"
    if not stable and not unstable:
        return f"No single group matters to the ranking beyond chance. {chance}."
    if found.blocks == 1:
        return f"It relies on {stable}; whether it does so at other times is not known: there is one block. {chance}."
    told = f"It relies in every block on {stable}." if stable else "It relies on no group in every block."
    return told + (f" In some blocks only: {unstable}." if unstable else "") + f" {chance}."


def _curve(name: str, curve: pd.DataFrame, units: dict[str, str]) -> str:
    """One sentence."""
    if curve.empty:
        return f"{name}: no value in the newest block"
    low, high = (curve.loc[place] for place in (curve["risk"].idxmin(), curve["risk"].idxmax()))
    if not pd.api.types.is_numeric_dtype(curve["value"].dtype):
        return f"{name}: {_share(low)} with {low['value']} to {_share(high)} with {high['value']}"
    unit = f" {units[name]}" if units.get(name) else ""
    first, last = curve.iloc[0], curve.iloc[-1]
    told = f"{name}: {_share(first)} at {first['value']:.4g}{unit}, {_share(last)} at {last['value']:.4g}{unit}"
    ends = max(first["risk"], last["risk"])
    beyond = high["risk"] > ends and not math.isclose(high["risk"], ends, rel_tol=0.1)
    return told + (f", highest {_share(high)} at {high['value']:.4g}{unit}" if beyond else "")


def _share(row: pd.Series) -> str:
    return f"{100 * row['risk']:.3g} %"
