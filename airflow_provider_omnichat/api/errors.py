"""
What can go wrong, as exceptions that carry what is needed to decide what to do next.

No text of theirs holds a phone number, a message or a credential: they end up in task logs.
"""

from __future__ import annotations

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode


class OmnichatError(Exception):
    """Base of all errors of this provider."""


class AccountError(OmnichatError, ValueError):
    """
    The connection, or what the environment gives for the way out, cannot be used as it is; nothing was sent.

    The text names each field or variable, what is wrong with it and what to do.

    :param problem: the text, but for the field where there is one.
    :param field: of the connection.
    """

    def __init__(self, problem: str, field: str = "") -> None:
        super().__init__(problem, field)
        self.problem = problem
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}" if self.field else self.problem


class InvalidInviteError(OmnichatError, ValueError):
    """
    An invite that must not be sent; nothing was.

    :param reason: the field at fault, what is wrong and what to do about it, without the number or the text.
    """

    outcome = Outcome.INVALID

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class TransportError(OmnichatError):
    """
    No answer came.

    :param code: of what happened.
    :param problem: the same for people.
    :param written: False only when it is certain that the request did not leave; True when it may have.
    """

    def __init__(self, code: ReasonCode, problem: str, written: bool = True) -> None:
        super().__init__(code, problem, written)
        self.code = code
        self.problem = problem
        self.written = written

    def __str__(self) -> str:
        return self.problem


class SmsLogsError(OmnichatError):
    """
    The vendor's SMS logs could not be read; it says nothing of the messages.

    :param problem: what happened and what to do about it.
    :param http_status: HTTP status of the answer; None when none came.
    """

    def __init__(self, problem: str, http_status: int | None = None) -> None:
        super().__init__(problem, http_status)
        self.problem = problem
        self.http_status = http_status

    def __str__(self) -> str:
        return self.problem


class SendError(OmnichatError):
    """
    An invite that was not accepted; see the subclasses.

    :param reason: what happened and what to do about it.
    :param http_status: HTTP status of the answer; None when none came.
    :param code: the vendor's error code (``BAD_REQUEST``, ``E429``) or the status name of a refused answer.
    :param vendor_text: what the vendor said, made safe to show.
    :param retry_after: seconds that the vendor asks to wait; None when it did not ask.
    :param answer: the vendor's answer where there is one that can be read.
    :param retryable: True when the same request may be sent again at once or later without risk of a second SMS.
    :param account_fault: True when every further invite of this account would meet the same.
    """

    outcome: Outcome

    def __init__(
        self,
        reason: Reason,
        *,
        http_status: int | None = None,
        code: str | None = None,
        vendor_text: str | None = None,
        retry_after: float | None = None,
        answer: InviteAnswer | None = None,
        retryable: bool = False,
        account_fault: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.http_status = http_status
        self.code = code
        self.vendor_text = vendor_text
        self.retry_after = retry_after
        self.answer = answer
        self.retryable = retryable
        self.account_fault = account_fault


class InviteRejectedError(SendError):
    """The vendor refused this invite: HTTP 200 with status group 2, 4 or 5, or HTTP 400. Sending it again is no use."""

    outcome = Outcome.REJECTED


class InviteNotSentError(SendError):
    """The vendor certainly did not take the invite, so it may be sent again later."""

    outcome = Outcome.NOT_SENT


class InviteUnknownError(SendError):
    """Nobody knows whether the invite went out, so it must not be sent again by itself."""

    outcome = Outcome.UNKNOWN
