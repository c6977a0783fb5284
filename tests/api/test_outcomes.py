"""Each line of the outcome table, with both clients and a real server, and the requests that the server saw."""

from __future__ import annotations

import gzip
import json
import socket
import time
import tracemalloc

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteRejectedError, InviteUnknownError
from airflow_provider_omnichat.api.hints import ACCOUNT_FAULT_IDS, STATUS_HINTS
from airflow_provider_omnichat.api.outcomes import Outcome, label_of
from tests.support.answers import BROKEN, time_out_for, with_status
from tests.support.both_clients import accepted, failed
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.wire_server import ACCEPTED, answer, dripping, refused_port, then_close


def test_each_outcome_has_one_label():
    assert [outcome.label for outcome in Outcome] == [
        "accepted",
        "rejected",
        "not sent",
        "in doubt",
        "invalid",
        "duplicate",
        "suppressed",
        "held",
    ]
    assert label_of("of_a_later_version") == "of a later version"


# accepted


def test_an_accepted_invite_is_one_request_in_the_documented_shape_and_gives_the_documented_answer(
    client, wire, hook_for
):
    server = wire()
    sent = accepted(hook_for(server), client, to="+41 79 302 67 27")
    assert sent.to_json() == ACCEPTED
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/omnichat/1/applications/KEY/integrations/FACEBOOK/invite")
    assert json.loads(seen.body) == {"to": NUMBER, "linkPlaceholder": "<link>", "message": MESSAGE}
    assert seen.headers["content-type"] == seen.headers["accept"] == "application/json"
    assert seen.headers["authorization"] == "Basic dXNlcjpwYXNzLXdvcmQtMQ=="


@pytest.mark.parametrize(("group", "status_id"), [(0, 0), (1, 7), (1, 26), (3, 5), (3, 2), ("1", 7)])
def test_groups_0_1_and_3_are_accepted(client, wire, hook_for, group, status_id):
    server = wire(with_status(groupId=group, id=status_id))
    sent = accepted(hook_for(server), client)
    assert sent.status.outcome is Outcome.ACCEPTED
    assert len(server.seen) == 1


def test_fields_that_nobody_knows_are_kept(client, wire, hook_for):
    new = {**ACCEPTED, "bulkId": "b1", "status": {**ACCEPTED["status"], "lane": {"speed": 9}}}  # type: ignore[dict-item]
    assert accepted(hook_for(wire(answer(200, new))), client).to_json() == new


def test_text_of_every_script_arrives_as_it_was_written(client, sandbox, hook_for):
    text = "Grüezi 👋 “Vreni”: здравствуйте\nfolgen Sie uns: <link>"
    accepted(hook_for(sandbox), client, message=text)
    assert sandbox.outbox[0].message == text


def test_the_path_cannot_be_changed_by_a_key_with_slashes_dots_or_a_query(client, wire, hook_for):
    server = wire()
    accepted(hook_for(server), client, application_key="../a/b?c#d ü%2e", integration_type="X/../Y")
    assert server.seen[0].path == (
        "/omnichat/1/applications/..%2Fa%2Fb%3Fc%23d%20%C3%BC%252e/integrations/X%2F..%2FY/invite"
    )


# rejected


@pytest.mark.parametrize("group", [2, 4, 5])
def test_groups_2_4_and_5_are_rejected_although_the_answer_is_http_200(client, wire, hook_for, group):
    server = wire(with_status(groupId=group, id=99, name="NEW_NAME", description="No way", action="Try less"))
    error = failed(hook_for(server, retry_budget=5), client, InviteRejectedError)
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
def test_ids_with_a_hint_give_it_and_account_faults_stop_the_sending(client, wire, hook_for, status_id):
    error = failed(hook_for(wire(with_status(groupId=5, id=status_id))), client, InviteRejectedError)
    assert STATUS_HINTS[status_id] in str(error)
    assert error.account_fault is (status_id in ACCOUNT_FAULT_IDS)


def test_a_rejection_without_a_message_id_is_still_a_rejection(client, wire, hook_for):
    server = wire(answer(200, {"status": {"groupId": 5, "id": 52}}))
    error = failed(hook_for(server), client, InviteRejectedError)
    assert error.answer is not None
    assert error.answer.message_id == ""


def test_http_400_is_rejected_and_names_the_fields_at_fault(client, wire, hook_for):
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
    error = failed(hook_for(server, retry_budget=5), client, InviteRejectedError)
    assert (error.http_status, error.code, error.vendor_text) == (400, "BAD_REQUEST", "Bad request; to: ['is odd']")
    assert len(server.seen) == 1


def test_the_newer_error_body_is_read_too(client, wire, hook_for):
    body = {
        "errorCode": "E400",
        "description": "Bad",
        "action": "Mend it",
        "violations": [{"property": "to", "violation": "odd"}],
    }
    error = failed(hook_for(wire(answer(400, body))), client, InviteRejectedError)
    assert (error.code, error.vendor_text) == ("E400", "Bad; Mend it; to: odd")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        pytest.param("http://127.0.0.1:{port}", "Connection refused", id="refused"),
        pytest.param("https://127.0.0.1:{port}", "Connection refused", id="refused, TLS"),
        pytest.param("https://no-such-host.invalid", "the host name cannot be resolved", id="no such host"),
        pytest.param("https://a..example.com", "the address cannot be used", id="empty label"),
        pytest.param(f"https://{'a' * 70}.example.com", "the address cannot be used", id="label too long"),
        pytest.param("https://*.example.com", "check the connection's host", id="wildcard"),
    ],
)
def test_no_connection_is_not_sent_and_says_why(client, hook_for, host, said):
    error = failed(hook_for(host.format(port=refused_port())), client, InviteNotSentError)
    assert said in str(error)
    assert (error.outcome, error.http_status, error.retryable) == (Outcome.NOT_SENT, None, True)


def test_tls_with_a_server_that_speaks_none_is_not_sent(client, wire, hook_for):
    server = wire()
    error = failed(hook_for(server.url.replace("http:", "https:"), extra={"timeout": 1}), client, InviteNotSentError)
    assert "TLS" in str(error)
    assert server.seen == []


def test_a_certificate_that_nobody_trusts_is_not_sent(client, wire, hook_for, self_signed):
    server = wire(tls=self_signed[0])
    error = failed(hook_for(server), client, InviteNotSentError)
    assert "certificate verify failed" in str(error)
    assert server.seen == []


def test_a_trusted_certificate_is_accepted(client, wire, hook_for, self_signed, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(self_signed[1]))
    server = wire(tls=self_signed[0])
    accepted(hook_for(server), client)
    assert len(server.seen) == 1


def test_a_connection_over_tls_that_breaks_after_the_request_is_unknown(
    client, wire, hook_for, self_signed, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(self_signed[1]))
    server = wire(then_close(), tls=self_signed[0])
    failed(hook_for(server, retry_budget=5), client, InviteUnknownError)
    assert len(server.seen) == 1


def test_a_tls_handshake_without_an_end_is_not_sent(client, hook_for):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook = hook_for(f"https://127.0.0.1:{silent.getsockname()[1]}", extra={"timeout": 0.3})
        assert "no connection in time" in str(failed(hook, client, InviteNotSentError))


def test_a_connect_time_out_is_not_sent(client, hook_for):
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
            assert "no connection in time" in str(failed(hook, client, InviteNotSentError))
        finally:
            for filler in fillers:
                filler.close()


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
def test_a_retry_after_that_is_nonsense_breaks_nothing(client, wire, hook_for, after):
    server = wire(answer(429, {}, f"Retry-After: {after}"))
    failed(hook_for(server), client, InviteNotSentError)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "login, key or token is wrong"),
        (403, "lack a scope, or are not allowed from this IP"),
        (404, "application key is wrong, the integration is not set up for the application, or the vendor retired"),
    ],
)
def test_401_403_and_404_are_not_sent_stop_the_sending_and_say_what_to_do(client, sandbox, hook_for, status, hint):
    sandbox.script(str(status))
    error = failed(hook_for(sandbox, retry_budget=5), client, InviteNotSentError)
    assert (error.http_status, error.retryable, error.account_fault) == (status, False, True)
    assert hint in str(error)
    assert sandbox.requests_seen == 1
    assert sandbox.accepted == []


def test_a_redirect_is_not_followed_and_no_credentials_reach_the_other_host(client, sandbox, wire, hook_for):
    other = wire()
    sandbox.script(f"redirect:127.0.0.1:{other.port}")
    error = failed(hook_for(sandbox, retry_budget=5), client, InviteNotSentError)
    assert "redirects are not followed" in str(error)
    assert error.account_fault
    assert other.connections == 0
    assert sandbox.requests_seen == 1


@pytest.mark.parametrize("location", ["http://[::1", "http://*/", "//", "\xff", "http://127.0.0.1:99999/"])
@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_after_which_the_invite_may_have_been_taken_is_unknown_wherever_it_points(
    client, wire, hook_for, status, location
):
    server = wire(answer(status, b"", f"Location: {location}"))
    failed(hook_for(server, retry_budget=5), client, InviteUnknownError)
    assert len(server.seen) == 1


def test_a_redirect_with_an_endless_body_does_not_hold_the_worker(client, wire, hook_for):
    head = b"HTTP/1.1 307 X\r\nLocation: /\r\nContent-Length: 1000000\r\n\r\n"
    failed(hook_for(wire(dripping(head, b"x", 0.1, 1_000_000)), extra={"timeout": 0.5}), client, InviteNotSentError)


# unknown


@pytest.mark.parametrize(
    "fault",
    ["drop-before", "drop-after", "500-before", "500-after", "503", "html", "html-200", "garbage-200", "truncated"],
)
def test_what_nobody_knows_is_unknown_and_never_repeated(client, sandbox, hook_for, fault):
    sandbox.set_faults([fault])
    error = failed(hook_for(sandbox, retry_budget=5), client, InviteUnknownError)
    assert (error.outcome, error.retryable) == (Outcome.UNKNOWN, False)
    assert sandbox.requests_seen == 1


@pytest.mark.parametrize("fault", ["hang-before", "hang-after"])
def test_read_timeout_is_unknown_and_never_resent(client, sandbox, hook_for, fault):
    sandbox.set_faults([fault])
    error = failed(hook_for(sandbox, retry_budget=5, extra={"timeout": 1}), client, InviteUnknownError)
    assert str(error) == "The invite may have been sent, or not: no answer within 1 seconds"
    assert sandbox.requests_seen == 1


def test_a_group_that_nobody_knows_is_unknown(client, sandbox, hook_for):
    sandbox.script("unknown-status")
    failed(hook_for(sandbox, retry_budget=5), client, InviteUnknownError)
    assert sandbox.requests_seen == 1


@pytest.mark.parametrize("group", [2, 4, 5])
def test_id_29_means_that_the_operator_never_told(client, wire, hook_for, group):
    error = failed(hook_for(wire(with_status(groupId=group, id=29))), client, InviteUnknownError)
    assert error.answer is not None


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_cannot_be_read_is_unknown_and_never_repeated(client, wire, hook_for, broken):
    server = wire(broken)
    failed(hook_for(server, retry_budget=5, extra={"timeout": time_out_for(broken)}), client, InviteUnknownError)
    assert len(server.seen) == 1


def test_no_compression_is_asked_for_and_a_gzip_bomb_is_not_unpacked(client, wire, hook_for):
    server = wire(answer(200, gzip.compress(b" " * (40 << 20), 1), "Content-Encoding: gzip"))
    hook = hook_for(server)
    tracemalloc.start()
    error = failed(hook, client, InviteUnknownError)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
    assert "is compressed, which was not asked for" in str(error)
    assert [seen.headers["accept-encoding"] for seen in server.seen] == ["identity"]


def test_a_body_that_drips_is_bounded_by_the_time_out(client, wire, hook_for):
    server = wire(dripping(answer(200, b"", "Content-Length: 1000000"), b"x", 0.1, 1_000_000))
    failed(hook_for(server, extra={"timeout": 1}, retry_budget=5), client, InviteUnknownError)
    assert len(server.seen) == 1
