"""*Test connection*: it only reads, and says what is wrong in words that help."""

from __future__ import annotations

import pytest

from tests.support.wire_server import answer, then_close

NO_SUCH_KEY = {
    "requestError": {"serviceException": {"messageId": "NOT_FOUND", "text": "Requested resource is not found"}}
}


def test_a_connection_that_is_right_says_so_and_sends_nothing(sandbox, hook_for):
    worked, said = hook_for(sandbox).test_connection()
    assert (worked, said) == (True, f"{sandbox.url}: the login and the application key are right. No invite was sent.")
    assert sandbox.requests_seen == 0


def test_it_asks_for_one_user_of_the_application(wire, hook_for):
    server = wire(answer(200, []))
    assert hook_for(server).test_connection()[0]
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("GET", "/omnichat/1/applications/KEY/users?limit=1", b"")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"password": "wrong"}, "HTTP 401 UNAUTHORIZED Invalid login details: the connection's login, key or token is"),
        ({"extra": {"application_key": "OTHER"}}, "the application key is wrong, the integration is not set up"),
        ({"extra": {"auth_type": "oauth2"}}, "No access token: HTTP 401"),
        ({"login": ""}, "login: is empty"),
    ],
)
def test_what_is_wrong_with_the_login_or_the_application(sandbox, hook_for, fields, said):
    worked, words = hook_for(sandbox, **fields).test_connection()
    assert not worked
    assert said in words
    assert sandbox.requests_seen == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (answer(403, {}), "the credentials lack a scope, or are not allowed from this IP address"),
        (answer(200, b"<html>", "Content-Type: text/html"), "is not JSON (text/html, 6 bytes); is this the vendor's"),
        (answer(200, {"a": 1}), "but not with a list of users; is this the vendor's host?"),
        (answer(204, b""), "is this the vendor's host?"),
        (answer(302, b"", "Location: http://127.0.0.1:1/login"), "redirects are not followed"),
        (answer(500, {}), "the vendor or a server on the way is in trouble; try again later"),
        (answer(429, {}), "too many requests"),
        (then_close(), "the connection broke before an answer came"),
        (answer(401, {"requestError": {"serviceException": {"text": "bad pass-word-1"}}}), "HTTP 401 bad ***"),
    ],
)
def test_what_is_wrong_with_the_answer(wire, hook_for, given, said):
    server = wire(given)
    worked, words = hook_for(server).test_connection()
    assert not worked
    assert said in words
    assert [seen.method for seen in server.seen] == ["GET"]


@pytest.mark.parametrize(
    ("path", "given", "said"),
    [
        (
            "/wrong",
            answer(404, b"<html>", "Content-Type: text/html"),
            "the path /wrong in the connection's host is wrong",
        ),
        ("/wrong", answer(404, {}), "the path /wrong in the connection's host is wrong: the vendor's API is not there"),
        ("", answer(404, b"Not Found"), "the connection's host is wrong: the vendor's API is not there"),
        (
            "/gateway",
            answer(404, NO_SUCH_KEY),
            "the path /gateway in the connection's host is wrong, or the application",
        ),
        ("", answer(404, NO_SUCH_KEY), "NOT_FOUND Requested resource is not found: the application key is wrong"),
    ],
)
def test_a_path_where_the_vendor_is_not_is_told_from_a_wrong_application_key(wire, hook_for, path, given, said):
    worked, words = hook_for(wire(given).url + path).test_connection()
    assert not worked
    assert said in words


def test_a_wrong_path_at_the_sandbox(sandbox, hook_for):
    worked, words = hook_for(f"{sandbox.url}/wrong").test_connection()
    assert (worked, "the path /wrong in the connection's host is wrong" in words) == (False, True), words
    assert "application key" not in words


def test_a_connection_that_cannot_be_used_is_not_named_as_airflow_tests_it_under_a_temporary_name(hook_for):
    for fields in ({"password": ""}, {"extra": {"auth_type": "none"}}):
        hook = hook_for("https://api.infobip.com", **fields)
        assert hook.omnichat_conn_id not in hook.test_connection()[1]


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("https://127.0.0.1:1", "no connection"),
        ("https://no-such-host.invalid", "the host name cannot be resolved; check the connection's host"),
        ("https://a..b", "the address cannot be used"),
        ("http://api.infobip.com", "plain http would show credentials and numbers to the network"),
        ("ftp://api.infobip.com", "scheme 'ftp' is not allowed; use https"),
        ("https://user:secret@api.infobip.com", "has credentials in it"),
    ],
)
def test_what_is_wrong_with_the_host(hook_for, host, said):
    worked, words = hook_for(host).test_connection()
    assert not worked
    assert said in words
    assert "secret" not in words.replace("client secret", "")


def test_tls_that_cannot_be_trusted(wire, hook_for, self_signed):
    worked, words = hook_for(wire(tls=self_signed[0])).test_connection()
    assert not worked
    assert "TLS" in words
    assert "certificate verify failed" in words


def test_a_time_out(wire, hook_for):
    worked, words = hook_for(wire(b""), extra={"timeout": 1}).test_connection()
    assert not worked
    assert "no answer within 1 seconds" in words


@pytest.mark.parametrize(
    ("given", "worked", "said"),
    [
        (answer(200, {"results": []}), True, "the login is right. No invite was sent."),
        (answer(200, {"results": 1}), False, "but not with a list of messages; is this the vendor's host?"),
        (
            answer(403, {"errorCode": "E403"}),
            False,
            "E403: the credentials are right, but lack the scope sms:logs:read",
        ),
        (answer(401, {"errorCode": "E401"}), False, "HTTP 401 E401: the connection's login, key or token is wrong"),
    ],
)
def test_without_an_application_it_reads_one_message_of_the_logs(wire, hook_for, given, worked, said):
    server = wire(given)
    fine, words = hook_for(server, extra={"application_key": ""}).test_connection()
    assert fine is worked
    assert said in words
    assert [(seen.method, seen.path) for seen in server.seen] == [("GET", "/sms/3/logs?limit=1")]
