"""What a reader of a page has before them: its tags, in order and closed, and its text."""

import re
from html.parser import HTMLParser

VOID = {"meta", "col", "br", "input"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of order; keeps the tags and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script") and "svg" not in self.open:
            self.text.append(data)


def tags_of(html: str) -> list[str]:
    page = Balanced()
    page.feed(html)
    page.close()
    assert page.open == []
    return page.seen


def text_of(html: str) -> str:
    page = Balanced()
    page.feed(html)
    page.close()
    return re.sub(r"\s+", " ", " ".join(page.text))
