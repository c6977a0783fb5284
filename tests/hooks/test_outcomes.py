"""Each line of the outcome table, through the real hook and a real server, with the requests that the server saw."""

from __future__ import annotations

import json
import socket
import time
import tracemalloc
from email.utils import formatdate
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteRejectedError, InviteUnknownError, SendError
from airflow_provider_omnichat.api.hints import ACCOUNT_FAULT_IDS, STATUS_HINTS
from airflow_provider_omnichat.api.outcomes import Outcome
from tests.support.answers import BROKEN, with_status
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.wire_server import ACCEPTED, answer, dripping, refused_port, then_close


def fail(hook: Any, kind: type[SendError]) -> SendError:
    with pytest.raises(kind) as raised:
        hook.send_invite(NUMBER, MESSAGE)
    assert type(raised.value) is kind
    return raised.value


# accepted


def test_an_accepted_invite_is_one_request_in_the_documented_shape_and_gives_the_documented_answer(wire, hook_for):
    server = wire()
    sent = hook_for(server).send_invite("+41 79 302 67 27", MESSAGE)
    assert sent.to_json() == ACCEPTED
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/omnichat/1/applications/KEY/integrations/FACEBOOK/invite")
    assert json.loads(seen.body) == {"to": NUMBER, "linkPlaceholder": "<link>", "message": MESSAGE}
    assert seen.headers["content-type"] == seen.headers["accept"] == "application/json"
    assert seen.headers["authorization"] == "Basic dXNlcjpwYXNzLXdvcmQtMQ=="


@pytest.mark.parametrize(("group", "status_id"), [(0, 0), (1, 7), (1, 26), (3, 5), (3, 2), ("1", 7)])
def test_groups_0_1_and_3_are_accepted(wire, hook_for, group, status_id):
    server = wire(with_status(groupId=group, id=status_id))
    sent = hook_for(server).send_invite(NUMBER, MESSAGE)
    assert sent.status.outcome is Outcome.ACCEPTED
    assert len(server.seen) == 1


def test_fields_that_nobody_knows_are_kept(wire, hook_for):
    new = {**ACCEPTED, "bulkId": "b1", "status": {**ACCEPTED["status"], "lane": {"speed": 9}}}  # type: ignore[dict-item]
    assert hook_for(wire(answer(200, new))).send_invite(NUMBER, MESSAGE).to_json() == new


def test_text_of_every_script_arrives_as_it_was_written(sandbox, hook_for):
    text = "Grüezi 👋 “Vreni”: здравствуйте\nfolgen Sie uns: <link>"
    hook_for(sandbox).send_invite(NUMBER, text)
    assert sandbox.outbox[0].message == text


def test_the_path_cannot_be_changed_by_a_key_with_slashes_dots_or_a_query(wire, hook_for):
    server = wire()
    hook_for(server).send_invite(NUMBER, MESSAGE, application_key="../a/b?c#d ü%2e", integration_type="X/../Y")
    assert server.seen[0].path == (
        "/omnichat/1/applications/..%2Fa%2Fb%3Fc%23d%20%C3%BC%252e/integrations/X%2F..%2FY/invite"
    )


# rejected


@pytest.mark.parametrize("group", [2, 4, 5])
def test_groups_2_4_and_5_are_rejected_although_the_answer_is_http_200(wire, hook_for, group):
    server = wire(with_status(groupId=group, id=99, name="NEW_NAME", description="No way", action="Try less"))
    error = fail(hook_for(server, retry_budget=5), InviteRejectedError)
    assert (error.outcome, error.http_status, error.code, error.vendor_text) == (
        Outcome.REJECTED,
        200,
        "NEW_NAME",
        "No way",
    )
    assert str(error) == (
        f"The vendor rejected the invite: NEW_NAME (group {group}, id 99); No way; the vendor's advice: Try less"
    )
    assert error.answer is not None
    assert error.answer.message_id == ACCEPTED["messageId"]
    assert not error.retryable
    assert len(server.seen) == 1


@pytest.mark.parametrize("status_id", sorted(STATUS_HINTS))
def test_ids_with_a_hint_give_it_and_account_faults_stop_the_sending(wire, hook_for, status_id):
    error = fail(hook_for(wire(with_status(groupId=5, id=status_id))), InviteRejectedError)
    assert STATUS_HINTS[status_id] in str(error)
    assert error.account_fault is (status_id in ACCOUNT_FAULT_IDS)


def test_a_rejection_without_a_message_id_is_still_a_rejection(wire, hook_for):
    server = wire(answer(200, {"status": {"groupId": 5, "id": 52}}))
    error = fail(hook_for(server), InviteRejectedError)
    assert error.answer is not None
    assert error.answer.message_id == ""


def test_http_400_is_rejected_and_names_the_fields_at_fault(wire, hook_for):
    body = {
        "requestError": {
            "serviceException": {
                "messageId": "BAD_REQUEST",
                "text": "Bad request",
                "validationErrors": {"to": ["is odd"]},
            }
        }
    }
    server = wire(answer(400, body))
    error = fail(hook_for(server, retry_budget=5), InviteRejectedError)
    assert (error.http_status, error.code, error.vendor_text) == (400, "BAD_REQUEST", "Bad request; to: ['is odd']")
    assert len(server.seen) == 1


def test_the_newer_error_body_is_read_too(wire, hook_for):
    body = {
        "errorCode": "E400",
        "description": "Bad",
        "action": "Mend it",
        "violations": [{"property": "to", "violation": "odd"}],
    }
    error = fail(hook_for(wire(answer(400, body))), InviteRejectedError)
    assert (error.code, error.vendor_text) == ("E400", "Bad; Mend it; to: odd")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        pytest.param("http://127.0.0.1:{port}", "Connection refused", id="refused"),
        pytest.param("https://127.0.0.1:{port}", "Connection refused", id="refused, TLS"),
        pytest.param("https://no-such-host.invalid", "the host name cannot be resolved", id="no such host"),
        pytest.param("https://a..example.com", "the address cannot be used", id="empty label"),
        pytest.param(f"https://{'a' * 70}.example.com", "the address cannot be used", id="label too long"),
        pytest.param("https://*.example.com", "the address cannot be used", id="wildcard"),
    ],
)
def test_no_connection_is_not_sent_and_says_why(hook_for, host, said):
    error = fail(hook_for(host.format(port=refused_port())), InviteNotSentError)
    assert said in str(error)
    assert (error.outcome, error.http_status, error.retryable) == (Outcome.NOT_SENT, None, True)


def test_no_connection_is_tried_again_within_the_budget(hook_for):
    begin = time.monotonic()
    fail(hook_for(f"http://127.0.0.1:{refused_port()}", retry_budget=1.0), InviteNotSentError)
    assert 0.2 <= time.monotonic() - begin <= 30


def test_tls_with_a_server_that_speaks_none_is_not_sent(wire, hook_for):
    server = wire()
    error = fail(hook_for(server.url.replace("http:", "https:"), extra={"timeout": 0.3}), InviteNotSentError)
    assert "TLS" in str(error)
    assert server.seen == []


def test_a_certificate_that_nobody_trusts_is_not_sent(wire, hook_for, self_signed):
    server = wire(tls=self_signed[0])
    error = fail(hook_for(server), InviteNotSentError)
    assert "certificate verify failed" in str(error)
    assert server.seen == []


def test_a_trusted_certificate_is_accepted(wire, hook_for, self_signed, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(self_signed[1]))
    server = wire(tls=self_signed[0])
    hook_for(server).send_invite(NUMBER, MESSAGE)
    assert len(server.seen) == 1


def test_a_connection_over_tls_that_breaks_after_the_request_is_unknown(wire, hook_for, self_signed, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(self_signed[1]))
    server = wire(then_close(), tls=self_signed[0])
    fail(hook_for(server, retry_budget=5), InviteUnknownError)
    assert len(server.seen) == 1


def test_a_tls_handshake_without_an_end_is_not_sent(hook_for):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook = hook_for(f"https://127.0.0.1:{silent.getsockname()[1]}", extra={"timeout": 0.3})
        assert "no connection in time" in str(fail(hook, InviteNotSentError))


def test_a_connect_time_out_is_not_sent(hook_for):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        time.sleep(0.05)
        try:
            hook = hook_for(f"http://127.0.0.1:{address[1]}", extra={"timeout": 0.3})
            assert "no connection in time" in str(fail(hook, InviteNotSentError))
        finally:
            for filler in fillers:
                filler.close()


def test_429_to_the_end_of_the_budget_is_not_sent(sandbox, hook_for):
    sandbox.set_faults(["429"])
    error = fail(hook_for(sandbox, retry_budget=1.2), InviteNotSentError)
    assert (error.http_status, error.outcome, error.retryable) == (429, Outcome.NOT_SENT, True)
    assert 2 <= sandbox.requests_seen <= 4
    assert sandbox.accepted == []


def test_a_budget_of_0_is_a_single_attempt(sandbox, hook_for):
    sandbox.set_faults(["429"])
    fail(hook_for(sandbox), InviteNotSentError)
    assert sandbox.requests_seen == 1


@pytest.mark.parametrize("fault", ["429-retry-after:1", "429-retry-after-date:2", "503-retry-after:1"])
def test_retry_after_in_seconds_or_as_a_date_is_waited_for_and_the_invite_sent_once(sandbox, hook_for, fault):
    sandbox.script(fault, "ok")
    begin = time.monotonic()
    hook_for(sandbox, retry_budget=10).send_invite(NUMBER, MESSAGE)
    assert time.monotonic() - begin >= 0.95
    assert sandbox.requests_seen == 2
    assert len(sandbox.accepted) == 1


@pytest.mark.parametrize("after", [lambda: "600", lambda: formatdate(time.time() + 600, usegmt=True)])
def test_a_retry_after_that_does_not_fit_the_budget_gives_up_at_once(wire, hook_for, after):
    server = wire(answer(429, {}, f"Retry-After: {after()}"))
    begin = time.monotonic()
    error = fail(hook_for(server, retry_budget=300), InviteNotSentError)
    assert time.monotonic() - begin < 60
    assert error.retry_after == pytest.approx(600, abs=60)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "after",
    [
        "soon",
        "-1",
        "NaN",
        "inf",
        "1e9",
        "",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 99 Foo 2026",
        "²",
        "9" * 400,
    ],
)
def test_a_retry_after_that_is_nonsense_breaks_nothing(wire, hook_for, after):
    server = wire(answer(429, {}, f"Retry-After: {after}"))
    fail(hook_for(server), InviteNotSentError)
    assert len(server.seen) == 1


def test_a_retry_after_in_the_past_is_no_wait(wire, hook_for):
    server = wire(answer(503, {}, "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT"))
    hook_for(server, retry_budget=5).send_invite(NUMBER, MESSAGE)
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "login, key or token is wrong"),
        (403, "lack a scope, or are not allowed from this IP"),
        (404, "application key is wrong, the integration is not set up for the application, or the vendor retired"),
    ],
)
def test_401_403_and_404_are_not_sent_stop_the_sending_and_say_what_to_do(sandbox, hook_for, status, hint):
    sandbox.script(str(status))
    error = fail(hook_for(sandbox, retry_budget=5), InviteNotSentError)
    assert (error.http_status, error.retryable, error.account_fault) == (status, False, True)
    assert hint in str(error)
    assert sandbox.requests_seen == 1
    assert sandbox.accepted == []


def test_a_redirect_is_not_followed_and_no_credentials_reach_the_other_host(sandbox, wire, hook_for):
    other = wire()
    sandbox.script(f"redirect:127.0.0.1:{other.port}")
    error = fail(hook_for(sandbox, retry_budget=5), InviteNotSentError)
    assert "redirects are not followed" in str(error)
    assert error.account_fault
    assert other.connections == 0
    assert sandbox.requests_seen == 1


@pytest.mark.parametrize("location", ["http://[::1", "http://*/", "//", "\xff", "http://127.0.0.1:99999/"])
@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_after_which_the_invite_may_have_been_taken_is_unknown_wherever_it_points(
    wire, hook_for, status, location
):
    server = wire(answer(status, b"", f"Location: {location}"))
    fail(hook_for(server, retry_budget=5), InviteUnknownError)
    assert len(server.seen) == 1


def test_a_redirect_with_an_endless_body_does_not_hold_the_worker(wire, hook_for):
    head = b"HTTP/1.1 307 X\r\nLocation: /\r\nContent-Length: 1000\r\n\r\n"
    begin = time.monotonic()
    fail(hook_for(wire(dripping(head, b"x", 0.1, 1000)), extra={"timeout": 0.5}), InviteNotSentError)
    assert time.monotonic() - begin < 60


# unknown


@pytest.mark.parametrize(
    "fault",
    ["drop-before", "drop-after", "500-before", "500-after", "503", "html", "html-200", "garbage-200", "truncated"],
)
def test_what_nobody_knows_is_unknown_and_never_repeated(sandbox, hook_for, fault):
    sandbox.set_faults([fault])
    error = fail(hook_for(sandbox, retry_budget=5), InviteUnknownError)
    assert (error.outcome, error.retryable) == (Outcome.UNKNOWN, False)
    assert sandbox.requests_seen == 1


@pytest.mark.parametrize("fault", ["hang-before", "hang-after"])
def test_read_timeout_is_unknown_and_never_resent(sandbox, hook_for, fault):
    sandbox.set_faults([fault])
    error = fail(hook_for(sandbox, retry_budget=5, extra={"timeout": 0.3}), InviteUnknownError)
    assert str(error) == "The invite may have been sent, or not: no answer within 0.3 seconds"
    assert sandbox.requests_seen == 1


def test_a_group_that_nobody_knows_is_unknown(sandbox, hook_for):
    sandbox.script("unknown-status")
    fail(hook_for(sandbox, retry_budget=5), InviteUnknownError)
    assert sandbox.requests_seen == 1


@pytest.mark.parametrize("group", [2, 4, 5])
def test_id_29_means_that_the_operator_never_told(wire, hook_for, group):
    error = fail(hook_for(wire(with_status(groupId=group, id=29))), InviteUnknownError)
    assert error.answer is not None


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_cannot_be_read_is_unknown_and_never_repeated(wire, hook_for, broken):
    server = wire(broken)
    fail(hook_for(server, retry_budget=5), InviteUnknownError)
    assert len(server.seen) == 1


def test_gzip_is_read_and_a_gzip_bomb_is_not_unpacked(wire, hook_for):
    import gzip

    good = answer(200, gzip.compress(json.dumps(ACCEPTED).encode()), "Content-Encoding: gzip")
    bomb = answer(200, gzip.compress(b" " * (40 << 20), 1), "Content-Encoding: gzip")
    server = wire(good, bomb)
    hook = hook_for(server)
    hook.send_invite(NUMBER, MESSAGE)
    tracemalloc.start()
    fail(hook, InviteUnknownError)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
    assert len(server.seen) == 2


def test_a_body_that_drips_is_bounded_by_the_time_out(sandbox, hook_for):
    sandbox.script("slow-body:0.1")
    begin = time.monotonic()
    fail(hook_for(sandbox, extra={"timeout": 0.5}, retry_budget=5), InviteUnknownError)
    assert time.monotonic() - begin < 15
    assert sandbox.requests_seen == 1


def test_two_equal_lengths_are_no_problem(wire, hook_for):
    size = len(json.dumps(ACCEPTED))
    server = wire(answer(200, ACCEPTED, f"Content-Length: {size}", f"Content-Length: {size}"))
    assert hook_for(server).send_invite(NUMBER, MESSAGE).message_id
