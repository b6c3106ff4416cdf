import json
import os
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta

import pytest
from filelock import FileLock

from qma_predict.errors import PublicationError
from qma_predict.home import open_home
from qma_predict.publish.lists import bundle
from qma_predict.publish.messages import digest as messages
from qma_predict.publish.messages.digest import MOST_ISSUES, digest, tell, where
from qma_predict.publish.messages.sending import LONGEST_TITLE, Delivery
from qma_predict.publish.pages.facts import Facts

DAY = date(2026, 11, 24)

FACTS = {
    "plant": "Plant A",
    "line": "Line 2",
    "business_date": "2026-11-24",
    "as_of": "2026-11-24T04:00:00+00:00",
    "valid_until": "2026-11-25T04:00:00+00:00",
    "timezone": "Europe/Berlin",
    "list_id": "tiny-2026-11-24",
    "state": "OK",
    "state_reasons": [],
    "data_until": "2026-11-24T03:50:00+00:00",
    "tables": 6,
    "model": "default",
    "model_version": "17",
    "trained_until": "2026-11-12T04:00:00+00:00",
    "capacity": 38,
    "base_rate": 0.012,
    "expected": 6.24,
    "low": 3,
    "high": 9,
    "random_found": 0.52,
    "ranking": "",
    "listed": 38,
    "candidates": 1242,
    "not_scored": 12,
    "issues": [],
    "promises": [],
}
ISSUE = {"number": 1, "title": "Press W13, mould 5400", "units": 19, "nights": 3}
PROMISE = {
    "business_date": "2026-11-23",
    "promised": 5.0,
    "low": 2,
    "high": 8,
    "listed": 40,
    "checked": 31,
    "found": 4,
    "pending": 2,
    "not_checked": 7,
    "verdict": "kept",
    "reason": "",
}


def manifest(*, revision=1, reason=None, **facts):
    return {"business_date": "2026-11-24", "revision": revision, "reason": reason, "facts": FACTS | facts}


def told(**facts):
    return digest(manifest(**facts), where="/lists/risk_list.html")[1].split("\n\n")


@pytest.fixture
def place(tmp_path):
    return open_home(tmp_path / "home")


@pytest.fixture
def line_to(tiny_line):
    """Return `line_to(*urls, link=None)`: the tiny line with these addresses."""

    def make(*urls, link=None):
        return tiny_line.model_copy(
            update={"messages": tiny_line.messages.model_copy(update={"to": urls, "link": link})}
        )

    return make


def test_the_digest_of_a_list():
    title, body = digest(
        manifest(issues=[ISSUE], promises=[PROMISE, PROMISE | {"business_date": "2026-11-22", "verdict": "broken"}]),
        where="/lists/x.html",
    )
    assert title == "Risk list Plant A · Line 2, Tue 24 Nov 2026: OK to use, 38 units to check"
    assert body.split("\n\n") == [
        "Risk list Plant A · Line 2, Tue 24 Nov 2026, valid until Wed 25 Nov 05:00 (Europe/Berlin)",
        "State: OK to use",
        "To check: 38 of 1,242 candidates",
        "Expected: 6 defects found (3-9); picking at random would find about 0.5",
        "Issues, read these first:",
        "- 1. Press W13, mould 5400: 19 units, third night in a row",
        "Not scored: 12 units, treat by the control plan",
        "Yesterday: promised 5 (2-8) among the 31 checked, found 4, 7 not checked, 2 pending; "
        "last 2 nights: promise kept 1 of 2",
        "The list: /lists/x.html",
    ]


def test_a_night_on_which_nothing_stands_out_has_a_digest_too():
    assert told(listed=0, candidates=0, not_scored=0, expected=None, low=None, high=None, random_found=None)[1:-1] == [
        "State: OK to use",
        "To check: 0 of 0 candidates",
        "Expected: not enough known yet; picking at random would find an unknown number: not enough known yet",
        "Issues: none, nothing stands out",
        "Not scored: none",
    ]


@pytest.mark.parametrize(
    ("state", "words"),
    [("DEGRADED", "use with care"), ("BASELINE", "list by the simple rule, model not used tonight")],
)
def test_a_state_that_is_not_ok_comes_with_its_reasons(state, words):
    parts = told(state=state, state_reasons=["no visits are known", "readings: no file"])
    assert parts[1:3] == [f"State: {state}: {words}", "- no visits are known\n- readings: no file"]


def test_a_ranking_promises_no_number():
    parts = told(expected=None, low=None, high=None, random_found=None, ranking="its backtest holds 3 known defects")
    assert "Expected: no number; the units are ranked only: its backtest holds 3 known defects" in parts


def test_an_earlier_list_that_promised_no_number_is_told_all_the_same():
    earlier = {"business_date": "2026-11-22", "promised": None, "low": None, "high": None, "verdict": "not enough yet"}
    assert told(promises=[PROMISE | earlier])[-2] == (
        "List of Sun 22 Nov: promised no number, found 4 in 31 checked, 7 not checked, 2 pending; "
        "last 1 night: not enough known yet"
    )


def test_a_list_that_replaces_another_says_why():
    title, body = digest(manifest(revision=2, reason="source 3 came late"), where="x")
    assert title.startswith("Risk list Plant A · Line 2, Tue 24 Nov 2026, revision 2: OK to use")
    assert "Replaces the list published before: source 3 came late" in body.split("\n\n")


def test_of_many_issues_the_first_are_told():
    points = told(issues=[ISSUE | {"number": n} for n in range(1, MOST_ISSUES + 4)])[5].split("\n")
    assert len(points) == MOST_ISSUES + 1
    assert points[-1] == "- and 3 more, see the list"


def test_text_of_the_plant_stays_text():
    hostile = "W13 <!channel>\r\n\r\nState: OK to use\u202e @here [bill](http://x)"
    title, body = digest(
        manifest(
            plant=hostile,
            line=hostile,
            state="DEGRADED",
            state_reasons=[hostile],
            issues=[ISSUE | {"title": hostile}],
        ),
        where="/lists/x.html",
    )
    assert "\n" not in title
    assert not set(title + body) & set("<>@[]\r\u202e")
    assert len(body.split("\n\n")) == 9
    assert sum(part.startswith("State:") for part in body.split("\n")) == 1


def test_the_title_of_the_longest_names_still_says_the_state():
    title = digest(manifest(plant="x" * 500, line="y" * 500), where="x")[0]
    assert len(title) <= LONGEST_TITLE
    assert title.endswith("OK to use, 38 units to check")


def test_the_longest_digest_is_short_enough_for_one_message():
    long = "x" * 5000
    body = digest(
        manifest(state="DEGRADED", state_reasons=[long] * 50, issues=[ISSUE | {"title": long}] * 50), where="x"
    )[1]
    assert len(body) < 6_000


def test_facts_of_another_version_are_refused_in_words():
    facts = {name: value for name, value in FACTS.items() if name != "plant"}
    with pytest.raises(PublicationError, match="list tiny-2026-11-24: its facts cannot be told \\(1 of them"):
        digest({"business_date": "2026-11-24", "revision": 1, "reason": None, "facts": facts}, where="x")


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("https://files.plant.example/line2", "https://files.plant.example/line2/2026-11-24/risk_list.html"),
        ("https://files.plant.example/line2/", "https://files.plant.example/line2/2026-11-24/risk_list.html"),
        ("https://plant.example/open?file=", "https://plant.example/open?file=2026-11-24/risk_list.html"),
    ],
)
def test_where_the_list_is(place, line_to, link, path):
    assert where(place, line_to(link=link), manifest()) == path
    in_the_home = place.published("tiny") / "2026-11-24" / "risk_list.html"
    assert where(place, line_to(), manifest()) == str(in_the_home)


def test_a_published_list_is_told_to_every_address_once(place, line_to, mailbox, webhook):
    line, folder = line_to(mailbox.url, webhook.url), place.published("tiny")
    contents = {"risk_list.html": b"<p>list</p>"}
    bundle.publish(folder, DAY, contents, facts=FACTS, receipt={})
    assert tell(place, line, bundle.read(folder, DAY)) == Delivery(sent=2)
    assert tell(place, line, bundle.read(folder, DAY)) == Delivery(earlier=2)
    bundle.publish(folder, DAY, contents, facts=FACTS | {"listed": 37}, receipt={}, replace="one was scrapped")
    assert tell(place, line, bundle.read(folder, DAY)) == Delivery(sent=2)
    assert len(mailbox.mails) == len(webhook.posts) == 2
    assert "revision 2" in mailbox.mails[1]["Subject"]
    assert str(folder / "2026-11-24" / "risk_list.html") in webhook.posts[1]["message"]


def test_only_those_that_were_not_reached_are_told_again(place, line_to, mailbox, webhook):
    line = line_to(webhook.url, mailbox.url)
    webhook.answer = 500
    first = tell(place, line, manifest())
    assert (first.sent, len(first.failures)) == (1, 1)
    assert first.failures[0].startswith("messages.to[0] (json): not sent")
    webhook.answer = 200
    assert tell(place, line, manifest()) == Delivery(sent=1, earlier=1)
    assert (len(mailbox.mails), len(webhook.posts)) == (1, 2)


def test_addresses_may_change_places_between_two_tries(place, line_to, mailbox, webhook):
    assert tell(place, line_to(mailbox.url), manifest()) == Delivery(sent=1)
    assert tell(place, line_to(webhook.url, mailbox.url), manifest()) == Delivery(sent=1, earlier=1)


def test_a_mark_that_is_lost_or_cut_off_sends_twice_rather_than_never(place, line_to, webhook):
    line = line_to(webhook.url)
    for number, text in enumerate([None, "", "{}", '{"sent": 3}', "\udcff"], start=1):
        for mark in (place.folder / "messages" / "tiny").glob("*.json"):
            mark.unlink() if text is None else mark.write_text(text, errors="surrogateescape")
        assert tell(place, line, manifest()) == Delivery(sent=1)
        assert len(webhook.posts) == number


def test_a_mark_holds_no_part_of_an_address(place, line_to, webhook):
    tell(place, line_to(webhook.url), manifest())
    (mark,) = (place.folder / "messages" / "tiny").glob("*.json")
    assert mark.name == "2026-11-24-r1.json"
    assert set(json.loads(mark.read_text())) == {"sent"}
    assert not any(part in mark.read_text() for part in ("127.0.0.1", "hooks", "t0ken", "json:"))


def test_what_was_sent_and_cannot_be_marked_may_come_twice(place, line_to, webhook):
    line, folder = line_to(webhook.url, f"{webhook.url}/second"), place.folder / "messages" / "tiny"
    draft = folder / f"2026-11-24-r1.{os.getpid()}.draft"
    draft.mkdir(parents=True)
    done = tell(place, line, manifest())
    assert (done.sent, len(webhook.posts)) == (2, 2)
    assert all(failure.endswith("; it may come twice") for failure in done.failures)
    assert done.failures[1].startswith("messages.to[1]: sent, but not marked as sent (")
    draft.rmdir()
    assert tell(place, line, manifest()).sent == 2


def test_marks_that_cannot_be_read_are_a_failure_and_no_exception(place, line_to, webhook):
    (place.folder / "messages" / "tiny" / "2026-11-24-r1.json").mkdir(parents=True)
    done = tell(place, line_to(webhook.url), manifest())
    assert done.sent == 0
    assert "2026-11-24-r1.json: the digest may not have been sent" in done.failures[0]


def test_without_addresses_nothing_is_done(place, line_to):
    assert tell(place, line_to(), manifest()) == Delivery()
    assert not (place.folder / "messages").exists()


def test_a_list_that_cannot_be_told_is_a_failure_and_no_exception(place, line_to, webhook):
    done = tell(place, line_to(webhook.url), manifest(state_reasons=3))
    assert done.sent == 0
    assert "its facts cannot be told" in done.failures[0]


def test_two_senders_of_one_list_take_turns(place, line_to, webhook, monkeypatch):
    monkeypatch.setattr(messages, "LOCK_SECONDS", 0.1)
    folder = place.folder / "messages" / "tiny"
    folder.mkdir(parents=True)
    with FileLock(folder / "2026-11-24-r1.lock"):
        done = tell(place, line_to(webhook.url), manifest())
    assert (done.sent, webhook.posts) == (0, [])
    assert "2026-11-24-r1.lock" in done.failures[0]
    assert tell(place, line_to(webhook.url), manifest()).sent == 1


def test_the_facts_of_a_night_are_those_that_a_digest_reads():
    moment = datetime(2026, 11, 24, 4, tzinfo=UTC)
    facts = Facts(
        plant="P", line="L", business_date=DAY, as_of=moment, valid_until=moment + timedelta(days=1), timezone="UTC",
        list_id="x", state="OK", state_reasons=(), data_until=None, tables=1, model="m", model_version=None,
        trained_until=None, capacity=2, base_rate=None, expected=None, low=None, high=None, random_found=None,
    )  # fmt: skip
    stored = json.loads(json.dumps(asdict(facts), default=str))
    body = digest(manifest(**stored), where="x")[1]
    assert body.startswith("Risk list P · L, Tue 24 Nov 2026, valid until Wed 25 Nov 04:00 (UTC)")
