"""The SMS API of today, from the outside: what it takes, its ids, and what it does with an id that comes again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import requests

from airflow_provider_omnichat.sandbox import Sandbox, Settings
from airflow_provider_omnichat.sandbox.options import read_options
from tests.support.patience import PATIENCE_SECONDS

NUMBER = "41793026727"


def sandbox_that(repeated_ids: str, **fields: Any) -> Sandbox:
    return Sandbox(seed=1, settings=Settings(repeated_ids=repeated_ids, **fields))


def status_of(response: requests.Response) -> int:
    (message,) = response.json()["messages"]
    return int(message["status"]["id"])


def logged(sandbox: Sandbox, message_id: str) -> list[int]:
    answer = requests.get(
        f"{sandbox.url}/sms/3/logs", params={"messageId": message_id}, auth=sandbox.auth, timeout=PATIENCE_SECONDS
    )
    return [row["status"]["id"] for row in answer.json()["results"]]


def test_an_sms_is_answered_as_in_the_contract_and_kept(sandbox, post_sms):
    options = {"validityPeriod": {"amount": 2, "timeUnit": "HOURS"}, "campaignReferenceId": "welcome"}
    response = post_sms(sandbox, message_id="orders-17", sender="Acme", options=options)

    assert response.status_code == 200
    status = {"groupId": 1, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED"}
    status["description"] = "Message sent to next instance"
    assert response.json() == {"messages": [{"messageId": "orders-17", "destination": NUMBER, "status": status}]}
    (receipt,) = sandbox.accepted
    assert (receipt.to, receipt.message_id, receipt.sender, receipt.options) == (NUMBER, "orders-17", "Acme", options)
    assert receipt.text == "Follow us at https://t.me/acme"
    assert logged(sandbox, "orders-17") == [7]


def test_segments_are_counted_where_the_request_asks_for_them(sandbox, post_sms):
    asked = {"options": {"includeSmsCountInResponse": True}}
    (message,) = post_sms(sandbox, text="a" * 161, of_all=asked).json()["messages"]
    assert message["details"] == {"messageCount": 2}


def test_an_id_is_made_where_none_is_given(sandbox, post_sms):
    ids = {post_sms(sandbox).json()["messages"][0]["messageId"] for _ in range(3)}
    assert ids == {receipt.message_id for receipt in sandbox.outbox}
    assert len(ids) == 3


def test_each_destination_has_a_status_and_a_receipt(sandbox, post_sms):
    to = [{"to": NUMBER, "messageId": "a"}, {"to": "12", "messageId": "b"}]
    content = {"text": "Hi"}
    more = {"destinations": [{"to": "41793026728"}], "content": content}
    answer = post_sms(sandbox, json={"messages": [{"destinations": to, "content": content}, more]}).json()

    assert answer["bulkId"]
    assert [each["status"]["id"] for each in answer["messages"]] == [26, 52, 26]
    assert [each["messageId"] for each in answer["messages"]][:2] == ["a", "b"]
    assert [(receipt.to, receipt.accepted) for receipt in sandbox.outbox] == [
        (NUMBER, True),
        ("12", False),
        ("41793026728", True),
    ]
    assert sandbox.requests_seen == 1


TEXT = {"text": "Hi"}
TO = [{"to": NUMBER}]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"content": TEXT}]}, "messages[0].destinations"),
        ({"messages": [{"destinations": TO}]}, "messages[0].content"),
        ({"messages": [{"destinations": TO, "content": {}}]}, "messages[0].content.text"),
        ({"messages": [{"destinations": [{}], "content": TEXT}]}, "messages[0].destinations[0].to"),
        (
            {"messages": [{"destinations": [{"to": NUMBER, "messageId": "x" * 201}], "content": TEXT}]},
            "messages[0].destinations[0].messageId",
        ),
        (
            {"messages": [{"destinations": TO, "content": TEXT, "options": {"validityPeriod": {"timeUnit": "HOURS"}}}]},
            "messages[0].options.validityPeriod.amount",
        ),
        (
            {"messages": [{"destinations": TO, "content": TEXT, "options": {"campaignReferenceId": "x" * 256}}]},
            "messages[0].options.campaignReferenceId",
        ),
        ({"messages": [{"destinations": TO, "content": TEXT}], "options": {"tracking": True}}, "options.tracking"),
    ],
)
def test_what_is_missing_or_wrong_is_named_in_a_400_and_nobody_gets_anything(sandbox, post_sms, body, named):
    response = post_sms(sandbox, json=body)

    assert response.status_code == 400
    assert response.json()["errorCode"] == "E400"
    assert [each["property"] for each in response.json()["violations"]] == [named]
    assert sandbox.accepted == []


def test_errors_have_the_newer_body(sandbox, post_sms):
    assert post_sms(sandbox, auth=("a", "b")).json()["errorCode"] == "E401"
    assert post_sms(sandbox, data=b"{").json()["errorCode"] == "E400"
    sandbox.script("403", "429-retry-after:2", "500-after")
    answers = [post_sms(sandbox) for _ in range(3)]
    assert [(each.status_code, each.json()["errorCode"]) for each in answers] == [
        (403, "E403"),
        (429, "E429"),
        (500, "E500"),
    ]
    assert answers[1].headers["Retry-After"] == "2"


def test_ignored_delivers_a_repeat_again(post_sms):
    with sandbox_that("ignored") as sandbox:
        assert [status_of(post_sms(sandbox, message_id="a")) for _ in range(2)] == [26, 26]
        assert Counter(receipt.to for receipt in sandbox.accepted) == {NUMBER: 2}
        assert logged(sandbox, "a") == [7, 7]
        assert (sandbox.totals.same_message_twice, sandbox.totals.suppressed) == (1, 0)


@pytest.mark.parametrize(("repeated_ids", "answered", "at_first"), [("late", 26, [7, 7]), ("at-once", 23, [23, 7])])
def test_a_repeat_is_suppressed_and_its_row_comes_before_the_first(
    post_sms, sandbox_clock, repeated_ids, answered, at_first
):
    with sandbox_that(repeated_ids, delivery_after=(8.0, 8.0)) as sandbox:
        assert [status_of(post_sms(sandbox, message_id="a")) for _ in range(2)] == [26, answered]
        assert status_of(post_sms(sandbox, message_id="b", to="41793026728")) == 26
        assert logged(sandbox, "a") == at_first
        sandbox_clock.sleep(8)
        assert logged(sandbox, "a") == [23, 5]
        assert [(each.message_id, each.accepted, each.suppressed) for each in sandbox.outbox] == [
            ("a", True, False),
            ("a", False, True),
            ("b", True, False),
        ]
        assert (sandbox.totals.accepted, sandbox.totals.suppressed) == (2, 1)
        sandbox.clear()
        assert status_of(post_sms(sandbox, message_id="a")) == 26


def test_an_id_is_free_again_after_the_grace_period_which_a_repeat_does_not_renew(post_sms, sandbox_clock):
    with sandbox_that("at-once", id_grace=10) as sandbox:
        found = []
        for seconds in (0, 9, 2, 9):
            sandbox_clock.sleep(seconds)
            found.append(status_of(post_sms(sandbox, message_id="a")))
    assert found == [26, 23, 26, 23]


@pytest.mark.parametrize(
    ("fault", "taken"), [("500-before", False), ("429", False), ("rejected:52", False), ("500-after", True)]
)
def test_only_an_accepted_message_uses_its_id_up(post_sms, fault, taken):
    with sandbox_that("at-once") as sandbox:
        sandbox.script(fault)
        post_sms(sandbox, message_id="a")
        assert status_of(post_sms(sandbox, message_id="a")) == (23 if taken else 26)
        assert len(sandbox.accepted) == 1


def test_a_fault_does_not_hide_that_it_met_a_repeat(post_sms):
    with sandbox_that("late") as sandbox:
        sandbox.script("ok", "500-after", "unknown-status")
        for _ in range(3):
            post_sms(sandbox, message_id="a")
        assert [each.suppressed for each in sandbox.outbox] == [False, True, True]


def test_the_page_shows_the_id_and_the_suppressed_repeat(post_sms):
    with sandbox_that("late", delivery_after=(0.0, 0.0)) as sandbox:
        for _ in range(2):
            post_sms(sandbox, message_id="orders-17", sender="Acme")
        page = requests.get(sandbox.url, timeout=PATIENCE_SECONDS).text
    assert page.count("1 SMS · Acme · orders-17") == 2
    assert page.count("REJECTED_DUPLICATE_MESSAGE_ID") == page.count("repeat, suppressed") == 1
    assert "<b>repeated ids</b> late, 1 suppressed" in page


def test_options_set_what_becomes_of_repeats():
    settings = read_options(["--repeated-ids", "late", "--id-grace", "20"]).settings
    assert (settings.repeated_ids, settings.id_grace) == ("late", 20)
    with pytest.raises(ValueError, match="ignored, late, at-once"):
        Settings(repeated_ids="never")
