import logging
import subprocess
import sys

import pytest

from qma_predict.publish.messages.sending import LONGEST_BODY, Delivery, harmless, send, without_parts

NOWHERE = "127.0.0.1:1"


def test_a_mail_and_a_webhook_are_sent_title_and_body(mailbox, webhook):
    assert send([mailbox.url, webhook.url], "Plant · Line", "State: OK\n\n- one") == Delivery(sent=2)
    (mail,) = mailbox.mails
    assert (mail["Subject"], mail["From"], mail["To"]) == ("Plant · Line", "qma@plant.example", "lead@plant.example")
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().splitlines() == ["State: OK", "", "- one"]
    assert [(post["title"], post["message"], post["type"]) for post in webhook.posts] == [
        ("Plant · Line", "State: OK\n\n- one", "info")
    ]


def test_what_kind_of_message_it_is_reaches_the_service(webhook):
    assert send([webhook.url], "t", "b", kind="failure").failures == ()
    assert webhook.posts[0]["type"] == "failure"


def test_one_that_is_away_does_not_keep_the_others_waiting(mailbox, webhook):
    away = f"mailto://{NOWHERE}?from=qma@plant.example&to=lead@plant.example"
    done = send([mailbox.url, away, f"json://{NOWHERE}/x", webhook.url], "t", "b")
    assert done.sent == len(mailbox.mails) + len(webhook.posts) == 2
    mail, hook = done.failures
    assert mail.startswith("messages.to[1] (mailto): not sent: the service did not take it (")
    assert hook.startswith("messages.to[2] (json): not sent: the service did not take it (")
    assert all("Connection refused" in failure for failure in done.failures)


def test_what_a_service_answers_is_told(webhook):
    webhook.answer = 403
    (failure,) = send([webhook.url], "t", "b").failures
    assert "error=403" in failure


def test_a_wrong_password_is_a_failure_in_words_that_do_not_name_it(mailbox):
    right, wrong = (
        mailbox.url.replace("127", f"lead:{word}@127", 1) + "&smtp=127.0.0.1" for word in ("s3cret-word", "wr0ng-word")
    )
    done = send([right, wrong], "t", "b")
    assert done.sent == len(mailbox.mails) == 1
    (failure,) = done.failures
    assert "535" in failure
    assert "wr0ng-word" not in failure


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("${QMA_MAIL}", "messages.to[0]: not sent: the environment variable QMA_MAIL is not set, expected a URL"),
        ("json://${QMA_HOST}/x", "messages.to[0] (json): not sent: the environment variable QMA_HOST is not set"),
        (
            "lead@plant.example",
            "messages.to[0]: not sent: not an address, expected a URL of Apprise's, such as mailto:",
        ),
        ("carrier-pigeon", "messages.to[0]: not sent: not an address"),
        ("pigeon://loft", "messages.to[0] (pigeon): not sent: the address was not understood, expected a URL"),
        ("mailto://[", "messages.to[0] (mailto): not sent: the address was not understood"),
        ("mailto://mail.plant.example", "messages.to[0] (mailto): not sent: the address was not understood"),
        ("slack://T0ken/short", "messages.to[0] (slack): not sent: the address was not understood"),
    ],
)
def test_an_address_that_cannot_be_used_is_told(url, said):
    done = send([url], "t", "b")
    assert done.sent == 0
    assert done.failures[0].startswith(said)


ADDRESSES = [
    f"mailto://lead:s3cret-word@{NOWHERE}?from=qma@plant.example&to=lead@plant.example&smtp=127.0.0.1",
    f"json://lead:s3cret-word@{NOWHERE}/hooks/s3cret-word?+X-Token=s3cret-word&-key=s3cret-word",
    "json://lead:s3cret-word@[::1/hooks",
    "mailto://lead:s3cret-word@",
    "slack://s3cret-word/s3cret-word/s3cret-word",
    "pigeon://s3cret-word",
    "s3cret-word",
    f"json://{NOWHERE}/hooks/%73%33cret-word",
]


@pytest.mark.parametrize("url", ADDRESSES)
def test_no_secret_is_told_or_logged(url, caplog, capfd):
    caplog.set_level(1)
    for name in ("apprise", "urllib3"):
        caplog.set_level(1, name)
    (failure,) = send([url], "t", "b").failures
    out = capfd.readouterr()
    assert "s3cret-word" not in failure
    assert "s3cret-word" not in caplog.text + out.out + out.err


def test_no_secret_is_logged_where_the_message_is_taken(webhook, caplog):
    caplog.set_level(1)
    caplog.set_level(1, "urllib3")
    assert send([webhook.url], "t", "b").sent == 1
    assert webhook.paths == ["/hooks/t0ken-t0ken"]
    assert "t0ken" not in caplog.text
    logging.getLogger("apprise").warning("afterwards the log is as before")
    assert "afterwards" in caplog.text


@pytest.mark.parametrize(
    ("url", "text", "left"),
    [
        ("mailto://lead:s3cret@mail.example", "no S3CRET for lead at mail.example", "no *** for *** at mail.example"),
        ("mailto://lead:pw@mail.example", "pw at mail.example", "*** at mail.example"),
        ("json://host.example/a/t0ken?+X-Key=k3y-word", "/a/t0ken with k3y-word", "*** with ***"),
        ("json://host.example/p%20w%20d", "url: /p w d or /p%20w%20d", "url: *** or ***"),
        ("slack://t0ken/other/third", "t0ken, other/third", "***, ***/***"),
        ("discord://12345/abcde", "from 12345: 500", "from ***: 500"),
        ("json://host.example", "refused by host.example", "refused by host.example"),
        ("json://[", "whatever", ""),
    ],
)
def test_every_part_of_an_address_is_taken_out_of_a_text(url, text, left):
    assert without_parts(text, url) == left


HOSTILE = "W13\r\nBcc: all@plant.example\r\n\r\n<script>alert(1)</script> <!channel> @here [bill](http://x) \u202e\x00"


def test_text_of_the_plant_adds_no_header_and_no_recipient(mailbox, webhook):
    assert send([mailbox.url, webhook.url], HOSTILE, f"one\n{harmless(HOSTILE)}\nthree").sent == 2
    (mail,) = mailbox.mails
    assert mailbox.recipients == ["lead@plant.example"]
    assert mail["Bcc"] is None
    assert "\\r\\nBcc: all@plant.example" in mail["Subject"]
    assert len(mail.get_content().splitlines()) == 3
    assert not set(mail.get_content()) & {"\x00", "\u202e"}
    assert not set(webhook.posts[0]["title"]) & {"\r", "\n", "\x00", "\u202e"}


def test_text_of_the_plant_is_no_markup_where_a_mail_is_asked_for_as_html(mailbox):
    assert send([f"{mailbox.url}&format=html"], "t", "<script>alert(1)</script>").sent == 1
    html = mailbox.mails[0].get_body(("html",)).get_content()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_harmless_text_is_one_line_without_signs_that_a_chat_acts_upon():
    assert not set(harmless(HOSTILE)) & set("<>@[]`*\r\n\x00\u202e")
    assert harmless("oven.heat_1, lot R-7781 (5 %)") == "oven.heat_1, lot R-7781 (5 %)"
    assert len(harmless("x" * 1000)) == 240


def test_a_body_that_is_too_long_is_shortened_and_says_so(webhook):
    assert send([webhook.url], "t", "line\n" * LONGEST_BODY).sent == 1
    assert len(webhook.posts[0]["message"]) <= LONGEST_BODY
    assert webhook.posts[0]["message"].endswith("(shortened)")


def test_the_notification_library_is_imported_only_when_a_message_is_sent():
    code = "import sys, pipelines.watch, qma_predict.publish.messages.digest; assert 'apprise' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
