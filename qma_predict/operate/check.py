"""One thing that the doctor looked at, and how a look that fails becomes words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from qma_predict.errors import QmaError


@dataclass(frozen=True)
class Check:
    """What was looked at, and what was found.

    Attributes
    ----------
    name : str
    state : str
        "ok", "warning" (nights go on), or "failed" (a night would fail, or what is kept is damaged).
    found : str
    what_to_do : str
        Empty where the state is ok, or where `found` says it.
    """

    name: str
    state: Literal["ok", "warning", "failed"]
    found: str
    what_to_do: str = ""


def tried(name: str, look: Callable[[], Check]) -> Check:
    """What a look finds, or in words why it cannot look."""
    try:
        return look()
    except QmaError as error:
        return Check(name, "failed", str(error))
    except OSError as error:
        return Check(name, "failed", f"cannot be read: {error}", "Check the permissions and the disk.")
