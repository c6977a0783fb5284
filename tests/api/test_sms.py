"""What an answer of the SMS API says of the invite, whichever client asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteRejectedError, InviteUnknownError
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.sms import SmsInvite
from airflow_provider_omnichat.api.wire import HttpResponse
from tests.support.both_clients import send_each
from tests.support.example_invite import NUMBER
from tests.support.sms_server import PENDING
from tests.support.wire_server import answer

INVITE = SmsInvite(NUMBER, "Hi, https://t.me/acme", "https://t.me/acme", message_id="abc-def")
OF_INVITE = {"messageId": "abc-def", "destination": NUMBER, "status": PENDING, "details": {"messageCount": 2}}
ANSWER = {"bulkId": "b", "messages": [OF_INVITE]}


def said(*messages: Any) -> HttpResponse:
    return HttpResponse(200, {}, json.dumps({"messages": list(messages)}).encode())


def status(group: int, number: int) -> dict[str, Any]:
    return {**OF_INVITE, "status": {"groupId": group, "id": number, "name": "X"}}


def test_an_accepted_invite_has_the_shape_that_the_other_route_gives(client, wire, hook_for):
    server = wire(answer(200, ANSWER))
    (found,) = send_each(hook_for(server), client, [INVITE], pause=0)
    assert isinstance(found, InviteAnswer), repr(found)
    assert found.to_json() == {"to": NUMBER, "messageCount": 2, "messageId": "abc-def", "status": PENDING}
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/sms/3/messages")
    assert json.loads(seen.body) == {
        "messages": [
            {"destinations": [{"to": NUMBER, "messageId": "abc-def"}], "content": {"text": "Hi, https://t.me/acme"}}
        ],
        "options": {"includeSmsCountInResponse": True},
    }


def test_the_answer_is_the_one_with_the_id_whatever_else_is_in_it():
    other = {**OF_INVITE, "messageId": "other", "destination": "4915123456789"}
    assert INVITE.read(said(other, OF_INVITE)).message_id == "abc-def"


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([{**OF_INVITE, "messageId": "other"}], "answer_for_another"),
        ([{**OF_INVITE, "destination": "4915123456789"}], "answer_for_another"),
        ([{**OF_INVITE, "messageId": None, "details": {"messageId": "other"}}], "unreadable_answer"),
        ([{"destination": NUMBER, "status": PENDING, "details": {"messageId": "other"}}], "answer_for_another"),
        ([OF_INVITE, OF_INVITE], "unreadable_answer"),
        ([], "unreadable_answer"),
        ([1], "unreadable_answer"),
        ([{**OF_INVITE, "status": None}], "unreadable_answer"),
        ([{name: value for name, value in OF_INVITE.items() if name != "messageId"}], "unreadable_answer"),
        ([status(9, 1)], "status_unclear"),
        ([status(5, 23)], "id_taken"),
    ],
)
def test_an_unclear_answer_is_a_doubt(messages, code):
    with pytest.raises(InviteUnknownError) as raised:
        INVITE.read(said(*messages))
    assert raised.value.reason.code == code


def test_a_refusal_needs_no_id():
    refused = {name: value for name, value in status(5, 52).items() if name != "messageId"}
    with pytest.raises(InviteRejectedError):
        INVITE.read(said(refused))


def test_a_number_in_another_form_is_the_same_person():
    brazil = SmsInvite("5511987654321", "Hi", message_id="abc-def")
    assert brazil.read(said({**OF_INVITE, "destination": "551187654321"})).message_id == "abc-def"


@pytest.mark.parametrize(
    ("http_status", "kind", "hint"),
    [
        (403, InviteNotSentError, "sms:message:send"),
        (404, InviteNotSentError, "this host has no SMS API"),
        (400, InviteRejectedError, "E400"),
        (500, InviteUnknownError, "E500"),
        (429, InviteNotSentError, "too many requests"),
    ],
)
def test_an_error_is_told_in_the_words_of_this_api(http_status, kind, hint):
    body = json.dumps({"errorCode": f"E{http_status}", "description": "Hi, https://t.me/acme"}).encode()
    with pytest.raises(kind) as raised:
        INVITE.read(HttpResponse(http_status, {}, body))
    assert hint in str(raised.value)
    assert "acme" not in str(raised.value)


def test_a_kept_answer_does_not_repeat_the_link():
    link = "https://t.me/acme?token=s3cr3t"
    invite = SmsInvite(NUMBER, f"Hi, {link}", link, message_id="abc-def")
    odd = {**OF_INVITE, "status": {**PENDING, "action": f"Do not shorten {link}"}}
    assert "s3cr3t" not in json.dumps(invite.read(said(odd)).to_json())


def test_a_kept_answer_does_not_repeat_what_the_link_tells_apart():
    link = "https://t.me/acme?token=s3cr3t&n=1"
    invite = SmsInvite(NUMBER, f"Hi, {link}", link, message_id="abc-def")
    odd = {**OF_INVITE, "status": {**PENDING, "description": "Blocked: s3cr3t"}}
    assert "s3cr3t" not in json.dumps(invite.read(said(odd)).to_json())


def test_the_id_of_another_answer_does_not_repeat_link_and_text(caplog):
    link = "https://t.me/acme?token=s3cr3t"
    invite = SmsInvite(NUMBER, f"Hi Vreni, {link}", link, message_id="abc-def")
    with pytest.raises(InviteUnknownError) as raised:
        invite.read(said({**OF_INVITE, "messageId": f"{link} s3cr3t Hi Vreni, {link}"}))
    assert "s3cr3t" not in f"{raised.value}{caplog.text}"


def test_neither_number_nor_text_shows():
    assert repr(INVITE) == "SmsInvite(to='41793****27', message=<text of 21 characters>, message_id='abc-def')"
