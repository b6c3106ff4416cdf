"""Units of measure: numbers of one source as the line keeps them."""

import math
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cache
from tokenize import TokenError
from typing import Any

import numpy as np

_SIGNS = re.compile(r"[\w°µμΩ%‰/*^().\s·⁰¹²³⁴-⁹⁻-]{1,40}")
_POWER = re.compile(r"(?:\*\*|\^)\s*-?[1-9](?!\d)")
_TOWER = re.compile(r"(?:\*\*|\^)\s*-?\d\s*(?:\*\*|\^)|[⁰¹²³⁴-⁹]{2}|[⁰¹²³⁴-⁹]\s*(?:\*\*|\^)|\d\s*[⁰¹²³⁴-⁹]")


def unit_of(name: str, patterns: Mapping[str, str]) -> str | None:
    """Unit that the first fitting pattern (`*`, `?`) gives a name.

    Examples
    --------
    >>> unit_of("oven.temp_top", {"*.temp_*": "degC", "*": "bar"})
    'degC'
    >>> unit_of(".temp", {"*.temp": "degC"})  # a machine's tag, no station known
    'degC'
    """
    return next((unit for pattern, unit in patterns.items() if fnmatchcase(name, pattern)), None)


def is_unit(text: str) -> bool:
    """Whether the library of units knows it.

    Examples
    --------
    >>> [is_unit(text) for text in ("°C", "1/min", "N/mm²", "mm/", "apples", "9**9**9**9")]
    [True, True, True, False, False, False]
    """
    return _parsed(text) is not None


def converted(numbers: np.ndarray, given: str, kept: str) -> np.ndarray | None:
    """Numbers of one unit in another, or nothing where the two contradict.

    Parameters
    ----------
    numbers : ndarray of float, shape (n,)
    given, kept : str
        Units that `is_unit` knows.

    Returns
    -------
    ndarray of float, shape (n,), or None
        Not finite where the result is too large.

    Notes
    -----
    The library gives the conversion as a fraction, so that 212 °F are 100 °C and not a bit more. Scales that are not
    straight lines, such as decibel, are not converted.

    Examples
    --------
    >>> converted(np.array([32.0, 212.0]), "degF", "degC").tolist()
    [0.0, 100.0]
    >>> converted(np.array([1.0]), "bar", "degC") is None
    True
    """
    if given == kept:
        return numbers
    straight = _line(given, kept)
    if straight is None:
        return None
    slope, offset = straight
    below = math.lcm(slope.denominator, offset.denominator)
    whole = [int(slope * below), int(offset * below)]
    with np.errstate(over="ignore"):
        if max(abs(whole[0]), abs(whole[1]), below) < 2**53:
            return (numbers * whole[0] + whole[1]) / below
        return numbers * float(slope) + float(offset)


@cache
def _registry() -> Any:
    from pint import UnitRegistry  # takes a moment to import and to build

    registry: Any = UnitRegistry(non_int_type=Fraction, on_redefinition="ignore")
    registry.define("revolutions_per_minute = 1 / minute = rpm")  # of a spindle, not an angle: pint's is 2 pi of it
    return registry


@cache
def _parsed(text: str) -> Any:
    from pint import errors

    # a tower of powers, such as 9**9**9**9, would be calculated; other numbers are no unit
    numbers = re.sub(r"^\s*1\s*(?=/|$)", "", _POWER.sub("", text))
    if not _SIGNS.fullmatch(text) or _TOWER.search(text) or re.search(r"(?<!\w)\d", numbers):
        return None
    try:
        return _registry().parse_units(text)
    except (errors.PintError, errors.DefinitionSyntaxError, ArithmeticError, AssertionError, LookupError, SyntaxError):
        return None
    except (ValueError, TypeError, AttributeError, TokenError):  # of its tokenizer
        return None


@cache
def _line(given: str, kept: str) -> tuple[Fraction, Fraction] | None:
    """Slope and offset of a conversion."""
    from pint import errors

    here, there = _parsed(given), _parsed(kept)
    if here is None or there is None:
        return None
    try:
        at_0, at_1 = (Fraction(_registry().Quantity(Fraction(one), here).to(there).magnitude) for one in (0, 1))
    except (errors.PintError, ArithmeticError, ValueError, TypeError):
        return None
    return at_1 - at_0, at_0
