"""Whatever comes for an answer: both clients read the same in it, and neither takes it for that of the next invite."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InviteUnknownError, OmnichatError, SendError
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from tests.support.answers import BROKEN, time_out_for, with_status
from tests.support.both_clients import CLIENTS, failed, send
from tests.support.wire_server import ACCEPTED, answer

SAME: dict[str, Any] = {
    "accepted": answer(),
    **{
        f"group {group}, id {status}": with_status(groupId=group, id=status) for group in range(7) for status in (5, 29)
    },
    "no credit": with_status(groupId=5, id=12),
    "a rejection without a messageId": answer(200, {"status": {"groupId": 5, "id": 52}}),
    **{f"HTTP {status}": answer(status, {}) for status in (*range(400, 432), 451, 499, *range(500, 512), 520, 599)},
    **{
        f"HTTP {status}": answer(status, b"", "Location: /x")
        for status in (201, 204, 300, 301, 302, 303, 304, 307, 308)
    },
    "429 with Retry-After": answer(429, {}, "Retry-After: 7"),
    "429 with two Retry-After": answer(429, {}, "Retry-After: 7", "Retry-After: 8"),
    "503 with Retry-After": answer(503, {}, "Retry-After: 7"),
    "503 with a fraction": answer(503, {}, "Retry-After: 1.5"),
    "503 with two Retry-After": answer(503, {}, "Retry-After: 1", "Retry-After: 2.5"),
    "503 with two in one": answer(503, {}, "Retry-After: 7, 3"),
    "503 with a Retry-After that is folded": answer(503, {}, "Retry-After:", " 7"),
    "503 with an empty Retry-After": answer(503, {}, "Retry-After:"),
    "the old error body": answer(400, {"requestError": {"serviceException": {"messageId": "BAD", "text": "Bad"}}}),
    "the new error body": answer(400, {"errorCode": "E400", "description": "Bad"}),
    **BROKEN,
}


def said(ended: InviteAnswer | OmnichatError) -> tuple[Any, ...]:
    """What a sender decides by."""
    if isinstance(ended, InviteAnswer):
        return (Outcome.ACCEPTED,)
    assert isinstance(ended, SendError), repr(ended)
    if ended.outcome is Outcome.UNKNOWN:  # the libraries do not come equally far with a broken answer
        return ended.outcome, ended.retryable
    return ended.outcome, ended.http_status, ended.code, ended.retryable, ended.account_fault, ended.retry_after


@pytest.mark.parametrize("given", SAME.values(), ids=SAME)
def test_both_clients_read_the_same_in_an_answer_and_neither_repeats_it(wire, hook_for, given):
    found = {}
    for client in CLIENTS:
        server = wire(given)
        found[client] = [
            said(ended) for ended in send(hook_for(server, extra={"timeout": time_out_for(given)}), client)
        ]
        assert len(server.seen) == 1
    assert found["async"] == found["sync"]


@pytest.mark.parametrize("given", SAME.values(), ids=SAME)
def test_no_answer_is_ever_taken_for_that_of_the_next_invite(client, wire, hook_for, given):
    """An answer of two bodies, an interim one, a length that is too short: the rest must not answer the next."""
    server = wire(given, answer(200, {**ACCEPTED, "messageId": "of the second"}))
    _, second = send(hook_for(server, extra={"timeout": time_out_for(given)}), client, 2, pause=0.05)
    assert isinstance(second, InviteAnswer), repr(second)
    assert second.message_id == "of the second"
    assert len(server.seen) == 2


LENGTH = len(json.dumps(ACCEPTED))


@pytest.mark.parametrize(
    "given",
    [
        answer(200, ACCEPTED, f"Content-Length: {LENGTH}", f"Content-Length: {LENGTH}"),
        answer(200, ACCEPTED, f"Content-Length: {LENGTH}, {LENGTH}"),
        answer(200, ACCEPTED, f"Content-Length: +{LENGTH}"),
        answer(200, ACCEPTED, f"Content-Length: {LENGTH // 10}_{LENGTH % 10}"),
        answer(200, ACCEPTED, "Content-Length:"),
        answer(429, {}, "Content-Length: 2", "Content-Length: 2"),
        answer(
            200,
            b"%x\r\n%s\r\n0\r\n\r\n" % (LENGTH, json.dumps(ACCEPTED).encode()),
            f"Content-Length: {LENGTH}",
            "Transfer-Encoding: chunked",
        ),
    ],
    ids=["equal", "equal, in one header", "a sign", "an underscore", "empty", "equal, of a 429", "beside chunks"],
)
def test_an_answer_without_one_plain_length_is_in_doubt_with_either_client(client, wire, hook_for, given):
    server = wire(given)
    assert failed(hook_for(server), client, InviteUnknownError).http_status is None
    assert len(server.seen) == 1
