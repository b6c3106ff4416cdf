"""Short messages to people: e-mail, Teams, Slack or a webhook, by Apprise's URLs.

An address holds passwords and tokens anywhere in it, and Apprise's log writes some of them out. So an address is
named by its place in `line.toml` and its kind alone, the log is kept back while a message is sent, and what is told
of it has every part of the address removed.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from qma_predict.line.definition import VARIABLE
from qma_predict.publish.pages.words import LONGEST_CELL
from qma_predict.publish.text import shortened, visible

LONGEST_TITLE = 200
LONGEST_BODY = 8_000
"""Characters at most. A service that takes fewer refuses more, unless its address says `overflow=split`."""

_EXAMPLE = "a URL of Apprise's, such as mailto://mail.plant.example?from=qma@plant.example&to=lead@plant.example"
_HOSTED = ("mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms")  # elsewhere a host may be a token
_SHORTEST_SECRET = 4  # shorter parts of a path or query would take the sense out of any sentence
# What chat services act upon: <!channel>, @everyone, [text](another address), `code`, *bold*.
_ACTING = str.maketrans({"<": "‹", ">": "›", "@": "＠", "[": "［", "]": "］", "`": "'", "*": "∗"})  # noqa: RUF001


@dataclass(frozen=True)
class Delivery:
    """What became of a message.

    Attributes
    ----------
    sent : int
        Addresses whose service took it now.
    earlier : int
        Addresses that had been sent it before, and were left alone.
    failures : tuple of str
        In words, which addresses were not reached and why; without passwords and tokens.
    """

    sent: int = 0
    earlier: int = 0
    failures: tuple[str, ...] = ()


def harmless(text: str, *, longest: int = 240) -> str:
    r"""Return text of the plant for a message: one line, nothing hidden, and no sign that a chat acts upon.

    Examples
    --------
    >>> harmless("W13 <!channel>\nBcc: [me](http://x)")
    'W13 ‹!channel›\\nBcc: ［me］(http://x)'
    """  # noqa: RUF002
    return shortened(text, longest=longest).translate(_ACTING)


def line_words(plant: str, title: str) -> str:
    """Return a plant and the title of one of its lines, harmless, for the title of a message."""
    return f"{harmless(plant, longest=LONGEST_CELL)} · {harmless(title, longest=LONGEST_CELL)}"


def send(
    urls: Sequence[str], title: str, body: str, *, kind: Literal["info", "warning", "failure"] = "info"
) -> Delivery:
    """Send a message to every address, whatever becomes of the others.

    Parameters
    ----------
    urls : sequence of str
        `messages.to` of a line.
    title, body : str
        Plain text; put what the plant wrote through `harmless` first.
    kind : str
        How services that know kinds (colours, signs) show it.

    Returns
    -------
    Delivery
        Nothing that a service, a network or an address does raises.
    """
    answers = [send_one(place, url, title, body, kind=kind) for place, url in enumerate(urls)]
    failures = tuple(answer for answer in answers if answer)
    return Delivery(sent=len(answers) - len(failures), failures=failures)


def send_one(place: int, url: str, title: str, body: str, *, kind: str = "info") -> str:
    """Send a message to the address at a place (from 0) of `messages.to`; return why that failed, or nothing."""
    scheme = (re.match(r"[A-Za-z0-9]+(?=://)", url) or [""])[0].lower()
    name = f"messages.to[{place}]" + (f" ({scheme})" if scheme else "")
    if unset := VARIABLE.search(url):
        return f"{name}: not sent: the environment variable {unset[1]} is not set, expected {_EXAMPLE}"
    if not scheme:
        return f"{name}: not sent: not an address, expected {_EXAMPLE}"
    lines = [visible(line) for line in body.split("\n")]
    with _log_kept_back() as log:
        taken = _hand_over(url, scheme, shortened(title, longest=LONGEST_TITLE), _cut("\n".join(lines)), kind)
    if taken:
        return ""
    why = "the address was not understood, expected " + _EXAMPLE if taken is None else "the service did not take it"
    told = without_parts("; ".join(log), url)
    return f"{name}: not sent: {why}" + (f" ({shortened(told, longest=300)})" if told else "")


def without_parts(text: str, url: str) -> str:
    """Return text without any part of an address that may be secret; all of it may be, except the host of some kinds.

    Examples
    --------
    >>> without_parts("535 for lead: no s3cret here, mail.example", "mailto://lead:s3cret@mail.example?to=a@b.example")
    '535 for ***: no *** here, mail.example'
    """
    try:
        parts = urlsplit(url)
        account, _, place = parts.netloc.rpartition("@")
        named = "" if parts.scheme.lower() in _HOSTED else place
        asked = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return ""
    some = [account, named, parts.path, parts.fragment, *(value or key for key, value in asked)]
    pieces = {piece for one in some for piece in (one, *re.split(r"[/:@?&=,;+#\s]", one))}
    secret = {piece for piece in pieces if len(piece) >= _SHORTEST_SECRET} | {account.partition(":")[2]}
    secret |= {form for one in secret for form in (unquote(one), quote(one, safe=""), repr(unquote(one))[1:-1])}
    longest_first = sorted(secret - {""}, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)) or "$^", "***", text, flags=re.IGNORECASE)


def _cut(body: str) -> str:
    return body if len(body) <= LONGEST_BODY else f"{body[: LONGEST_BODY - 20].rstrip()}\n\n(shortened)"


def _hand_over(url: str, scheme: str, title: str, body: str, kind: str) -> bool | None:
    """Whether the service took the message; None where Apprise cannot use the address."""
    with warnings.catch_warnings():
        # apprise 1.13 imports it where Python still has it, with the first address
        warnings.filterwarnings("ignore", "'imghdr' is deprecated", DeprecationWarning)
        from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

        asset = AppriseAsset(
            app_id="qma-predict",
            app_desc="qma-predict",
            app_url="",
            image_url_mask="",  # no pictures from elsewhere
            image_url_logo="",
            async_mode=False,
            interpret_emojis=False,
            pgp_autogen=False,
            pem_autogen=False,
        )
        service: Any = Apprise.instantiate(url, asset=asset)
    if service is None:
        return None
    if scheme.startswith("mailto") and "format=" not in url:
        service.notify_format = NotifyFormat.TEXT  # as HTML, every blank becomes one at which no line breaks
    apprise = Apprise(asset=asset)
    apprise.add(service)
    return bool(apprise.notify(body=body, title=title, notify_type=NotifyType(kind), body_format=NotifyFormat.TEXT))


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        # what the operating system or the server answered is said at DEBUG, among much that is secret
        if record.name.startswith("apprise") and (record.levelno >= logging.WARNING or "Exception: " in said):
            self.lines.append(said)


@contextmanager
def _log_kept_back() -> Iterator[list[str]]:
    """Keep the log of Apprise, and of the library by which it asks the web, from every other reader."""
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3", "urllib3.connectionpool")]
    before = [(one.level, one.propagate, one.handlers) for one in loggers]
    kept = _Kept()
    try:
        for one in loggers:
            one.setLevel(logging.DEBUG)
            one.propagate, one.handlers = False, [kept]
        yield kept.lines
    finally:
        for one, (level, propagate, handlers) in zip(loggers, before, strict=True):
            one.setLevel(level)
            one.propagate, one.handlers = propagate, handlers
