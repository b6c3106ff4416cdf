"""What a `line.toml` says of the list: how much can be checked, what that is worth, and who is told."""

from datetime import date, datetime, time, timedelta
from typing import Any, Self

from pydantic import Field, model_validator

from qma_predict.line.kinds import Amount, Count, Minutes, Part, Text, TimeOfDay


def _an_hour_after(given: dict[str, Any]) -> time:
    return (datetime.combine(date.min, given["as_of"]) + timedelta(hours=1)).time()


_USUAL_CHECK = 5.0
"""Work of a check [min] that a line counts in, but does not say."""


def _minutes_of_a_check(given: dict[str, Any]) -> float | None:
    counts_in_minutes = given["minutes"] is not None or given["check_minutes_of"]
    return _USUAL_CHECK if counts_in_minutes else None


def _units_in(given: dict[str, Any]) -> int:
    return 0 if given["minutes"] is None else int(given["minutes"] // given["check_minutes"])


class RiskList(Part):
    """When the list is made, and how much of it can be checked: so many units, or so many minutes of work.

    Attributes
    ----------
    as_of : time
        Local time of the business date as which everything is asked.
    by : time
        Local time by which the list is promised, on the next day if that is not after `as_of`; an hour after it
        by default.
    minutes : float, optional
        Work that can be done [min]; given instead of `capacity`.
    check_minutes_of : dict
        Work of checking one unit [min] of some products, by product.
    check_minutes : float, optional
        The same for any other product; 5 by default where `minutes` or `check_minutes_of` are given. Else it is not
        known what work a check is, and lists tell nothing in minutes.
    capacity : int
        Units that can be checked. Where minutes are given: how many checks of `check_minutes` fit into them.
    audits : float
        Share of the capacity that is kept for units drawn at random, in [0, 1].
    confirm : bool
        Whether results that come back on a list wait for the gate before they become labels.
    """

    as_of: TimeOfDay
    by: TimeOfDay = Field(default_factory=_an_hour_after)
    minutes: Minutes | None = None
    check_minutes_of: dict[Text, Minutes] = Field(default_factory=dict)
    check_minutes: Minutes | None = Field(default_factory=_minutes_of_a_check)
    capacity: Count = Field(default_factory=_units_in, ge=1)
    audits: float = Field(default=0.0, strict=True, ge=0, le=1)
    confirm: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if ("capacity" in self.model_fields_set) == (self.minutes is not None):
            raise ValueError("expected one of two: capacity (units to check) or minutes (of work)")
        if self.capacity < 1:
            raise ValueError(f"minutes is {self.minutes}, expected those of one check ({self.check_minutes}) or more")
        if self.by == self.as_of:
            raise ValueError("expected a time after as_of for by")
        return self


class ProductCosts(Part):
    """What is different for one product; what it leaves out is as for any."""

    escape: Amount | None = None
    inspection: Amount | None = None
    false_alarm: Amount | None = None


class Costs(Part):
    """What an escaped defect, a check, and beside it a good unit that was stopped for it cost, in one currency.

    Attributes
    ----------
    product : dict
        What is different for some products, by product.
    """

    escape: Amount | None = None
    inspection: Amount | None = None
    false_alarm: Amount = 0.0
    product: dict[Text, ProductCosts] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.escape is None) != (self.inspection is None):
            raise ValueError("expected both or none of escape and inspection")
        if self.product and self.escape is None:
            raise ValueError("product goes with escape and inspection, which are those of the other products")
        return self

    def of(self, product: str | None) -> "Costs":
        """Return the costs of one product; a product that is not named, or not known, has those of any.

        Examples
        --------
        >>> costs = Costs(escape=100.0, inspection=2.0, product={"A-55": ProductCosts(escape=900.0)})
        >>> costs.of("A-55").escape, costs.of("A-55").inspection, costs.of("B-7").escape
        (900.0, 2.0, 100.0)
        """
        own = self.product.get(product or "", ProductCosts())
        return self.model_copy(update=own.model_dump(exclude_none=True) | {"product": {}})


class Messages(Part):
    """Who is told of a list, and where it lies.

    Attributes
    ----------
    to : tuple of str
        Addresses as Apprise's URLs; a variable that is not set stays as it is written.
    link : str, optional
        Text before the list's path, for readers of a message.
    """

    to: tuple[Text, ...] = ()
    link: Text | None = None
