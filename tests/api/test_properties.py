"""What must hold whatever the vendor, a proxy or a user writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import InviteRejectedError, InviteUnknownError, SendError
from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import describe_text, mask_number, scrub
from airflow_provider_omnichat.api.wire import HttpResponse, error_of_http_status
from airflow_provider_omnichat.campaign.ledger.interface import Entry, LedgerError
from tests.support.example_invite import INVITE, MESSAGE, NUMBER
from tests.support.reasons import why
from tests.support.wire_server import ACCEPTED

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
STATUS = st.dictionaries(st.sampled_from(["groupId", "groupName", "id", "name", "description", "action", "x"]), JSON)
ANSWER = st.fixed_dictionaries(
    {}, optional={"status": STATUS | JSON, "messageId": JSON, "to": JSON, "messageCount": JSON}
)
ERRORS = st.fixed_dictionaries(
    {},
    optional={
        "requestError": st.fixed_dictionaries(
            {},
            optional={
                "serviceException": st.fixed_dictionaries(
                    {}, optional={"messageId": JSON, "text": JSON, "validationErrors": JSON}
                )
                | JSON
            },
        )
        | JSON,
        "errorCode": JSON,
        "description": JSON,
        "violations": JSON | st.lists(st.fixed_dictionaries({}, optional={"property": JSON, "violation": JSON})),
    },
)
BODY = (
    st.none()
    | st.binary(max_size=60)
    | (JSON | ANSWER | ERRORS).map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"[" * 100_000, b"9" * 5000, b'"\\ud800"', b"NaN", b"\xef\xbb\xbf{}"])
)
HEADERS = st.fixed_dictionaries(
    {}, optional={"retry-after": st.text(max_size=40), "content-type": st.text(max_size=40)}
)


@settings(max_examples=200)
@given(st.integers(min_value=100, max_value=599) | st.just(200), HEADERS, BODY)
@example(429, {"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, b"")
def test_whatever_comes_is_an_answer_or_a_send_error(status, headers, body):
    try:
        answer = INVITE.read(HttpResponse(status, headers, body))
    except SendError as raised:
        error = raised
    else:
        assert 200 <= status < 300
        assert answer.status.group_id in {0, 1, 3}
        assert answer.message_id
        return
    assert error.outcome in {Outcome.REJECTED, Outcome.NOT_SENT, Outcome.UNKNOWN}
    assert error.retryable <= (error.outcome is Outcome.NOT_SENT)
    assert str(error)


@settings(max_examples=150)
@given(ANSWER)
def test_an_entry_comes_back_from_a_store_as_it_was_without_the_number(payload):
    payload = json.loads(json.dumps(payload), parse_constant=str)
    try:
        answer: InviteAnswer | None = InviteAnswer.from_json(payload)
    except ValueError:
        answer = None
    for outcome in (None, *Outcome):
        entry = Entry.now(outcome, answer, why("why"))
        stored = json.loads(json.dumps(entry.to_json()))
        back = Entry.from_json(stored)
        assert (back.outcome, back.at, back.reason) == (entry.outcome, entry.at, entry.reason)
        assert "to" not in stored.get("answer", {})
        if answer is not None:
            assert back.answer is not None
            assert back.answer.status == answer.status


@settings(max_examples=150)
@given(JSON | st.fixed_dictionaries({}, optional={"outcome": JSON, "at": JSON, "answer": JSON, "reason": JSON}))
def test_junk_in_a_store_is_a_ledger_error(junk):
    with pytest.raises(LedgerError):
        Entry.from_json(junk)


NUMBERS = st.from_regex(r"\A[1-9][0-9]{8,14}\Z")
SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=30).filter(
    lambda text: "*" not in text and "\u2026" not in text and text.strip() == text and not text.isdigit()
)
AROUND = st.text(max_size=40)


@settings(max_examples=200)
@given(AROUND, NUMBERS, AROUND)
def test_scrub_never_shows_a_whole_number(before, number, after):
    for written in (number, "+" + number, f"{number[:2]} {number[2:5]}-{number[5:]}"):
        shown = scrub(f"{before}{written}{after}")
        assert number not in "".join(c for c in shown if c.isdigit() and c.isascii()) or number in before + after


@settings(max_examples=200)
@given(AROUND, SECRETS, AROUND)
@example("", "first\n\n  second", "")
@example("x ", "a \u2028 b  cd", " y")
def test_scrub_never_shows_a_secret(before, secret, after):
    shown = scrub(f"{before}{secret}{after}", [secret])
    assert secret not in shown
    assert " ".join(secret.split()) not in shown


@given(st.text(max_size=2000))
def test_scrub_gives_one_short_line(text):
    shown = scrub(text)
    assert len(shown) <= 300
    assert len(shown.splitlines()) <= 1


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Destination 41793026727 is invalid", "Destination *** is invalid"),
        ("Destination +41 79 302 67 27 is invalid", "Destination +41 7****27 is invalid"),
        ("Blocked: 0041-79-302-67-27.", "Blocked: 0041-****27."),
        ("Other number 4915123456789 seen", "Other number 49151****89 seen"),
        ("status 29 of group 4, code 100001", "status 29 of group 4, code 100001"),
        (f"Bad text: {MESSAGE}", "Bad text: ***"),
        (f"Bad text: {MESSAGE[:40]}", "Bad text: ***"),
        (f"Bad text: {MESSAGE.upper()}", "Bad text: ***"),
        (f"Bad text: {MESSAGE.replace('<', '&lt;').replace('>', '&gt;')}", "Bad text: ***&lt;link&gt;"),
    ],
)
def test_what_the_vendor_repeats_of_the_invite_is_taken_out(said, shown):
    assert scrub(said, (NUMBER, MESSAGE)) == shown


@pytest.mark.parametrize("http_status", [400, 401, 429, 500])
def test_an_error_that_repeats_the_invite_and_the_password_is_scrubbed(http_status):
    text = f"to={NUMBER} text={MESSAGE} auth=dXNlcjpwYXNz pass=hunter22"
    new: dict[str, Any] = {
        "errorCode": text,
        "description": text,
        "violations": [{"property": text, "violation": text}],
    }
    old = {"messageId": text, "text": text, "validationErrors": {text: [text]}}
    for body in (new, {"requestError": {"serviceException": old}}):
        error = error_of_http_status(
            HttpResponse(http_status, {}, json.dumps(body).encode()), (NUMBER, MESSAGE, "dXNlcjpwYXNz", "hunter22")
        )
        for hidden in (NUMBER, MESSAGE, "dXNlcjpwYXNz", "hunter22"):
            assert hidden not in f"{error} {error!r} {error.code} {error.vendor_text}"


@pytest.mark.parametrize("group", [5, 9])
def test_a_refusal_that_repeats_the_invite_is_scrubbed(group):
    text = f"{NUMBER} {MESSAGE}"
    status = {"groupId": group, "id": 1, "name": text, "groupName": text, "description": text, "action": text}
    body = json.dumps({**ACCEPTED, "status": status}).encode()
    with pytest.raises((InviteRejectedError, InviteUnknownError)) as raised:
        INVITE.read(HttpResponse(200, {}, body))
    shown = f"{raised.value} {raised.value!r} {raised.value.code} {raised.value.vendor_text}"
    assert NUMBER not in shown
    assert MESSAGE not in shown


def test_masks():
    assert mask_number("41793026727") == "41793****27"
    assert mask_number("1234567") == "12****7"
    assert mask_number("12345") == "****"
    assert mask_number("") == ""
    assert mask_number(None) == "****"
    assert describe_text("abc") == "<text of 3 characters>"
    assert describe_text(None) == "<NoneType>"


def test_recipient_keys_tell_campaigns_and_numbers_apart():
    keys = {recipient_key(campaign, number) for campaign in ("a", "b") for number in ("1", "2")}
    assert len(keys) == 4
    assert all(NUMBER not in key for key in {recipient_key("a", NUMBER)})


def test_an_answer_is_cleaned_of_the_invite_and_stays_an_answer():
    status = {**ACCEPTED["status"], "description": f"to +41 79 302 67 27: {MESSAGE}"}  # type: ignore[dict-item]
    given = {**ACCEPTED, "messageId": NUMBER, "destination": 41793026727, "rows": [{"text": MESSAGE}], "status": status}
    answer = INVITE.read(HttpResponse(200, {}, json.dumps(given).encode()), ("1",))
    assert answer.to_json() == {
        **given,
        "destination": "***",
        "rows": [{"text": "***"}],
        "status": {**status, "description": "to +***: ***"},
    }
