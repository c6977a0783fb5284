"""The sync client: one ``requests`` session, one invite a call, and repeats only of what was certainly not taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from urllib3 import Timeout
from urllib3.exceptions import ClosedPoolError, HTTPError, LocationValueError

from airflow_provider_omnichat.api import wire
from airflow_provider_omnichat.api.account import Account
from airflow_provider_omnichat.api.auth import AuthFlow, Login
from airflow_provider_omnichat.api.errors import (
    InviteNotSentError,
    InviteRejectedError,
    InviteUnknownError,
    OmnichatError,
    SendError,
    TransportError,
)
from airflow_provider_omnichat.api.hints import HTTP_HINTS
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.api.route import CONNECT_TIMEOUT_SECONDS, Route
from airflow_provider_omnichat.api.session import NotConnectedError, new_session
from airflow_provider_omnichat.api.tracebacks import leaves_no_locals
from airflow_provider_omnichat.api.wire import HttpRequest, HttpResponse

_LOOK_EVERY_SECONDS = 0.1


class OmnichatClient:
    """
    Talks to the vendor for one account; safe to use from several threads.

    :param account: where to send and as whom.
    :param backoff: how invites that were certainly not taken are repeated.
    :param on_token: called with each new access token, so that the caller can have it masked in logs.
    :raises AccountError: a proxy or the certificates that the environment names cannot be used.
    """

    def __init__(
        self, account: Account, backoff: Backoff | None = None, on_token: Callable[[str], None] | None = None
    ) -> None:
        self.account = account
        self.backoff = backoff or Backoff()
        self._login = Login(account.credentials, on_token)
        self._token_lock = threading.Lock()
        self._stopped = False
        self._route = Route.from_environment(account.base_url)
        self._session = new_session(self._route)

    @leaves_no_locals
    def send_invite(self, invite: Invite, first_at: float | None = None) -> InviteAnswer:
        """
        Send one invite, and again within the backoff's budget after a failure with which nothing was sent.

        These are: no connection, 429, and 503 with ``Retry-After``. One that came in doubt here is repeated once if the
        vendor recognises its id: should it not, that is one SMS too many, and no more.

        :param first_at: POSIX time from which an earlier try may have sent it under the same id.
        :return: the answer of an accepted invite.
        :raises InviteRejectedError: the vendor refused it.
        :raises InviteNotSentError: the vendor did not take it before the budget ended.
        :raises InviteUnknownError: it may have been sent, or not.
        """
        request = invite.request()
        begin = time.monotonic()
        attempt = 0
        doubt: InviteUnknownError | None = None
        seconds = self.account.repeat_seconds if invite.message_id else None
        until = None if seconds is None else seconds + (time.time() if first_at is None else first_at)
        until = None if until is None or until <= time.time() else until
        while not self._stopped:
            attempt += 1
            try:
                return self._send_once(request, invite)
            except SendError as failure:
                error = failure
            is_taken = error.reason.code is ReasonCode.ID_TAKEN
            if first_at is not None or doubt is not None:
                if is_taken and error.answer is not None:
                    return error.answer
                if isinstance(error, InviteRejectedError):  # which says nothing about an earlier request
                    error = InviteUnknownError(error.reason, http_status=error.http_status, code=error.code)
            may_repeat, wait = error.retryable, self.backoff.delay(attempt, time.monotonic() - begin, error.retry_after)
            if isinstance(error, InviteUnknownError):
                # After a refusal as a repeat, the next answer would prove nothing.
                may_repeat = until is not None and not is_taken and doubt is None and first_at is None
                doubt = doubt or error
            if until is not None and wait is not None and (first_at is not None or doubt is not None):
                may_repeat = may_repeat and time.time() + wait < until
            if not may_repeat or wait is None or not self._wait(wait):
                raise doubt or error
        raise doubt or InviteNotSentError(
            Reason(ReasonCode.SENDING_STOPPED, "The invite was not sent", detail="sending was stopped")
        )

    def request(self, request: HttpRequest) -> HttpResponse:
        """
        Send one request with credentials, once; return its response, whatever the status.

        :raises TransportError: no answer came.
        :raises InviteNotSentError: there is no access token.
        """
        response: HttpResponse = self._run(self._login.flow(request))
        return response

    def probe(self) -> tuple[bool, str]:
        """
        Test the connection: list one user of the account's application, or one message of the SMS logs if it has none.

        Both send nothing.

        :return: whether it worked, and what is wrong and what to do about it.
        """
        host, key = self.account.base_url, self.account.application_key
        path = "/sms/3/logs?limit=1" if key is None else f"/omnichat/1/applications/{quote(key, safe='')}/users?limit=1"
        try:
            response = self.request(HttpRequest("GET", path, {"Accept": "application/json"}))
        except OmnichatError as error:
            return False, f"{host}: {error}"
        if 200 <= response.status < 300:
            try:
                body, what = response.json(), "users" if key is not None else "messages"
                if key is None:
                    body = body.get("results") if isinstance(body, dict) else None
                problem = "" if isinstance(body, list) else f"not with a list of {what}"
            except ValueError as error:
                problem = str(error)
            if problem:
                return False, f"{host} answered HTTP {response.status}, but {problem}; is this the vendor's host?"
            right = "the login is right" if key is None else "the login and the application key are right"
            return True, f"{host}: {right}. No invite was sent."
        code, text = wire.read_error_body(response, self._login.secrets)
        answered = " ".join(filter(None, (f"HTTP {response.status}", code, text)))
        hint = HTTP_HINTS.get(response.status) or "the vendor or a server on the way is in trouble; try again later"
        if key is None and response.status == 403:
            hint = (
                "the credentials are right, but lack the scope sms:logs:read (or are not allowed from this IP address):"
                " invites with a link of yours can be sent, and not be looked up"
            )
        if response.status == 404:
            path = urlsplit(host).path
            where = f"the path {path} in the connection's host" if path else "the connection's host"
            if code is None:  # not in the vendor's words
                hint = f"{where} is wrong: the vendor's API is not there"
            elif path:
                hint = f"{where} is wrong, or {hint}"
        return False, f"{host} answered {answered}: {hint}"

    def stop(self) -> None:
        """Begin no further attempt; one under way may end. Can be called from any thread or signal handler."""
        self._stopped = True

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> OmnichatClient:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _wait(self, seconds: float) -> bool:
        """Return whether the time passed without a stop."""
        # Not an Event: a signal handler that sets one may lock up.
        end = time.monotonic() + seconds
        while not self._stopped and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_EVERY_SECONDS))
        return not self._stopped

    def _send_once(self, request: HttpRequest, invite: Invite) -> InviteAnswer:
        try:
            response = self._run(self._login.flow(request))
        except TransportError as error:
            raise wire.error_of_transport(error) from error
        try:
            return invite.read(response, self._login.secrets)
        except InviteUnknownError as error:
            if error.reason.code is ReasonCode.ANSWER_FOR_ANOTHER:
                self._session.close()  # nobody knows whose answers come next on its connections
            raise

    def _run(self, flow: AuthFlow) -> Any:
        """Drive a flow of :class:`Login`: send its requests, and run a flow for a token under the lock."""
        try:
            found: Any = None
            while True:
                step = flow.send(found)
                if isinstance(step, HttpRequest):
                    found = self._send(step)
                else:
                    with self._token_lock:
                        found = self._run(step)
        except StopIteration as end:
            return end.value
        except TransportError as error:
            flow.throw(error)
            raise

    def _send(self, request: HttpRequest) -> HttpResponse:
        """Send one request once; raise TransportError when no answer comes."""
        timeout = self.account.timeout
        connect = min(timeout, CONNECT_TIMEOUT_SECONDS)
        try:
            response = self._session.request(
                request.method,
                self.account.base_url + request.path,
                headers=request.headers,
                data=request.body,
                timeout=Timeout(total=connect + timeout, connect=connect, read=timeout),  # type: ignore[arg-type]
                allow_redirects=False,
                stream=True,
            )
        except (NotConnectedError, requests.RequestException, HTTPError) as error:
            failure = error
        else:
            with response:
                if response.status_code < 200:
                    # An interim answer, which http.client takes for the whole one. The real one will come on this
                    # connection, and the next invite would take it for its own.
                    self._session.close()
                found = {name.lower(): value for name, value in response.headers.items()}
                return HttpResponse(response.status_code, found, _read_body(response))
        # Raised outside the handler, so that the error has no context: http.client shows in it what the server wrote.
        raise _transport_error(failure, self._route, timeout)


def _read_body(response: requests.Response) -> bytes | None:
    """Read a body; None if it breaks off, drips past the time-out or is too large for an answer of the vendor."""
    body = b""
    try:
        while chunk := response.raw.read1(16384, decode_content=False):
            body += chunk
            if len(body) > wire.LARGEST_BODY:
                return None
    except (HTTPError, OSError):
        return None  # the status still counts; a 2xx without a body leaves the invite in doubt
    return body


def _transport_error(error: Exception, route: Route, timeout: float) -> TransportError:
    match error:
        case NotConnectedError():
            return error.explain(route)
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidSchema() | LocationValueError():
            # Not InvalidHeader: that is what requests makes of an answer with two lengths, too.
            return route.unusable()
        case requests.exceptions.ReadTimeout():
            return route.unanswered(timeout)
        case requests.RequestException(args=(ClosedPoolError(), *_)):
            return TransportError(
                ReasonCode.NO_CONNECTION, "the connections were closed before it got one", written=False
            )
        case _:
            return route.interrupted(error)
