"""The vendor's requests and answers as plain data, for both clients, and what an answer means. No I/O."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_omnichat.api.body import NamedTwiceError, parse_body
from airflow_provider_omnichat.api.errors import (
    InviteNotSentError,
    InviteRejectedError,
    InviteUnknownError,
    SendError,
    TransportError,
)
from airflow_provider_omnichat.api.hints import ACCOUNT_FAULT_IDS, HTTP_HINTS, STATUS_HINTS
from airflow_provider_omnichat.api.identity import can_be
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.api.outcomes import REJECTED_DUPLICATE, Outcome
from airflow_provider_omnichat.api.privacy import mask_number, printable, scrub, without
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.api.retry import seconds_to_wait

LARGEST_BODY = 1 << 20  # bytes of an answer that are read at most
READ_HEADERS = ("content-type", "content-encoding", "retry-after")
JSON_HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}
_LOG = logging.getLogger(__name__)

# Made once: json.dumps with options makes a new one for each text, which takes longer than the text.
as_json = json.JSONEncoder(ensure_ascii=False).encode
_LARGEST_ANSWER = 1 << 16
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,40}")
_SHORTEST_HIDDEN = 6
_KEPT = frozenset({"to", "messageId"})
_NOT_SENT = "The invite was not sent"
_REJECTED = "The vendor rejected the invite"
_UNKNOWN = "The invite may have been sent, or not"
_MAYBE_TAKEN_4XX = frozenset({408, 409, 425})
_REJECTED_HTTP = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to the vendor; its path begins with a slash, follows the base URL, and is quoted."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)

    def with_authorization(self, value: str) -> HttpRequest:
        """Return the same request with an ``Authorization`` header."""
        return HttpRequest(self.method, self.path, {**self.headers, "Authorization": value}, self.body)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back; the body is None if it broke off or was too large for an answer of the vendor."""

    status: int
    headers: Mapping[str, str]  # at least those of READ_HEADERS, with lower-case names
    body: bytes | None = field(repr=False)

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, if it does."""
        return seconds_to_wait(self.headers.get("retry-after", ""))

    def json(self, largest: int = _LARGEST_ANSWER) -> Any:
        """Parse a body of at most *largest* bytes; the text of a ValueError contains nothing of it."""
        if self.body is None:
            raise ValueError("the body broke off")
        if self.headers.get("content-encoding", "").strip().lower() not in {"", "identity"}:
            problem = "is compressed, which was not asked for"
        elif len(self.body) > largest:
            problem = "is too large"
        else:
            try:
                return parse_body(self.body)
            except NamedTwiceError:
                problem = "gives a field twice"
            except (ValueError, RecursionError):
                problem = "is not JSON"
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        kind = scrub(kind) if _MEDIA_TYPE.fullmatch(kind) else "no content type"
        raise ValueError(f"the body {problem} ({kind}, {len(self.body)} bytes)")


def read_answer(
    response: HttpResponse,
    invite: Invite,
    secrets: Collection[str] = (),
    shaped: Callable[[Any], Any] = lambda payload: payload,
    hints: Mapping[int, str] = HTTP_HINTS,
) -> InviteAnswer:
    """See :meth:`.Invite.read`; *shaped* makes of a payload what InviteAnswer.from_json takes, or raises ValueError."""
    hidden = (invite.to, invite.message, *secrets)
    if not 200 <= response.status < 300:
        raise error_of_http_status(response, hidden, hints)
    try:
        payload = shaped(response.json())
        if isinstance(payload, dict):
            _refuse_another(payload, response.status, invite, hidden)
            payload = _without(payload, hidden)
        answer = InviteAnswer.from_json(payload)
    except ValueError as error:
        unreadable = Reason(
            ReasonCode.UNREADABLE_ANSWER,
            f"HTTP {response.status}, but it cannot be read what happened",
            detail=str(error),
        )
        raise InviteUnknownError(unreadable, http_status=response.status) from None
    if answer.status.outcome is Outcome.ACCEPTED:
        return answer
    raise _error_of_status(response.status, answer, hidden, has_own_id=bool(invite.message_id))


def _refuse_another(payload: dict[str, Any], http_status: int, invite: Invite, hidden: Collection[str]) -> None:
    """Raise if an answer is about another number or id."""
    to, message_id = payload.get("to"), payload.get("messageId")
    if invite.message_id and message_id not in (invite.message_id, None, ""):
        what, other = "message", printable(str(message_id), hidden)
    elif to != invite.to and not can_be(invite.to, to):
        what, other = "number", mask_number(to)
    else:
        return
    _LOG.warning("The invite to %s is in doubt: the answer to it is for %s", mask_number(invite.to), other)
    reason = Reason(ReasonCode.ANSWER_FOR_ANOTHER, f"HTTP {http_status}, but for another {what}", detail=other)
    raise InviteUnknownError(reason, http_status=http_status)


def _without(payload: dict[str, Any], hidden: Collection[str]) -> dict[str, Any]:
    """Remove from an answer what its texts repeat of the invite or the credentials: answers are kept and shown."""
    secrets = [secret for secret in hidden if len(secret) >= _SHORTEST_HIDDEN]  # a shorter one is found by chance
    return {name: value if name in _KEPT else _clean(value, secrets) for name, value in payload.items()}


def _clean(value: Any, secrets: Collection[str]) -> Any:
    if isinstance(value, str):
        return without(value, secrets)
    if isinstance(value, int):
        return value if str(value) not in secrets else "***"
    if isinstance(value, dict):
        return {name: _clean(inner, secrets) for name, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner, secrets) for inner in value]
    return value


def error_of_transport(error: TransportError) -> SendError:
    """Return the error of an invite to which no answer came."""
    if error.written:
        return InviteUnknownError(Reason(error.code, _UNKNOWN, detail=error.problem))
    return InviteNotSentError(Reason(error.code, _NOT_SENT, detail=error.problem), retryable=True)


def error_of_http_status(
    response: HttpResponse, hidden: Collection[str] = (), hints: Mapping[int, str] = HTTP_HINTS
) -> SendError:
    """Return the error of an invite that was answered with another HTTP status than 2xx."""
    status = response.status
    code, vendor_text = read_error_body(response, hidden)
    said = f" {code}" if code else ""
    said += f": {_open_ended(vendor_text)}" if vendor_text else ""
    hint = hints.get(status)
    text = f"HTTP {status}{said}" + (f" ({hint})" if hint else "")
    facts: dict[str, Any] = {
        "http_status": status,
        "code": code,
        "vendor_text": vendor_text,
        "retry_after": response.retry_after,
    }
    if status == 429 or (status == 503 and response.retry_after is not None):
        busy = ReasonCode.RATE_LIMITED if status == 429 else ReasonCode.SERVICE_UNAVAILABLE
        return InviteNotSentError(Reason(busy, _NOT_SENT, detail=text), retryable=True, **facts)
    if status in _REJECTED_HTTP:
        return InviteRejectedError(Reason(ReasonCode.HTTP_REJECTED, _REJECTED, detail=text), **facts)
    if status in (307, 308) or (400 <= status < 500 and status not in _MAYBE_TAKEN_4XX):
        refused = Reason(ReasonCode.HTTP_ACCOUNT_REFUSED, _NOT_SENT, detail=text)
        return InviteNotSentError(refused, account_fault=True, **facts)
    unclear = ReasonCode.HTTP_SERVER_ERROR if status >= 500 else ReasonCode.HTTP_UNCLEAR
    return InviteUnknownError(Reason(unclear, _UNKNOWN, detail=text), **facts)


def read_error_body(response: HttpResponse, hidden: Collection[str] = ()) -> tuple[str | None, str | None]:
    """Read the vendor's code and text, if any, from either of its two error formats."""
    try:
        body = response.json()
    except ValueError as error:
        return None, str(error) if response.body else None
    if not isinstance(body, dict):
        return None, None
    code, *parts = _old_error(body) or _new_error(body)
    shown = "; ".join(_open_ended(part) for part in parts if isinstance(part, str) and part)
    return scrub(code, hidden) if isinstance(code, str) else None, scrub(shown, hidden) or None


def _open_ended(text: str) -> str:
    """Return the vendor's text without its final full stop: more will follow it."""
    return text.rstrip(". ")


def _old_error(body: dict[str, Any]) -> list[Any]:
    fault = body.get("requestError")
    fault = fault.get("serviceException") if isinstance(fault, dict) else None
    if not isinstance(fault, dict):
        return []
    invalid = fault.get("validationErrors")
    problems = [f"{name}: {said}" for name, said in invalid.items()] if isinstance(invalid, dict) else []
    return [fault.get("messageId"), fault.get("text"), *problems]


def _new_error(body: dict[str, Any]) -> list[Any]:
    violations = body.get("violations")
    violations = violations if isinstance(violations, list) else []
    problems = [f"{v.get('property')}: {v.get('violation')}" for v in violations if isinstance(v, dict)]
    return [body.get("errorCode"), body.get("description"), body.get("action"), *problems]


def _error_of_status(http_status: int, answer: InviteAnswer, hidden: Collection[str], has_own_id: bool) -> SendError:
    status, outcome = answer.status, answer.status.outcome
    name = scrub(status.name or status.group_name or "no name", hidden)
    facts = [f"{name} (group {status.group_id}, id {status.id})"]
    vendor_text = scrub(status.description, hidden) if status.description else None
    if vendor_text:
        facts.append(_open_ended(vendor_text))
    if status.action:
        facts.append(f"the vendor's advice: {_open_ended(scrub(status.action, hidden))}")
    if status.id in STATUS_HINTS:
        facts.append(STATUS_HINTS[status.id])
    kind: type[SendError] = InviteUnknownError
    if outcome is not Outcome.REJECTED:
        code, what = ReasonCode.STATUS_UNCLEAR, _UNKNOWN
    elif has_own_id and status.id == REJECTED_DUPLICATE:
        # Not a refusal: nobody else can make this id, so an earlier request of this invite was taken.
        code, what = ReasonCode.ID_TAKEN, "The vendor has taken a message with this id before"
    else:
        kind, code, what = InviteRejectedError, ReasonCode.REJECTED_BY_VENDOR, _REJECTED
    return kind(
        Reason(code, what, detail="; ".join(facts), status=name),
        http_status=http_status,
        code=name,
        vendor_text=vendor_text,
        answer=answer,
        account_fault=status.id in ACCOUNT_FAULT_IDS and outcome is Outcome.REJECTED,
    )
