"""The errors of the provider. Their texts end up in task logs: none has a phone number, a message or a credential."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode


class OmnichatError(Exception):
    """Base of all errors of this provider."""


@dataclass(eq=False, repr=False)
class AccountError(OmnichatError, ValueError):
    """The connection, or a proxy or certificate variable, cannot be used; the text names each field at fault."""

    problem: str
    field: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}" if self.field else self.problem


@dataclass(eq=False, repr=False)
class InvalidInviteError(OmnichatError, ValueError):
    """An invite that must not be sent, and was not. Its reason names the field at fault and what to do."""

    outcome: ClassVar = Outcome.INVALID

    reason: Reason

    @classmethod
    def of(cls, field: str, code: ReasonCode, problem: str, detail: str = "") -> InvalidInviteError:
        """Build the error for a field."""
        return cls(Reason(code, problem, field=field, detail=detail))


@dataclass(eq=False, repr=False)
class TransportError(OmnichatError):
    """No answer came. *written* is False only if the request certainly did not leave."""

    code: ReasonCode
    problem: str
    written: bool = True

    def __str__(self) -> str:
        return self.problem


@dataclass(eq=False, repr=False)
class SmsLogsError(OmnichatError):
    """
    The vendor's SMS logs could not be read, which says nothing about the messages.

    :param http_status: HTTP status of the answer; None if none came.
    :param retryable: whether a repeat may help, after *retry_after* seconds if the vendor asks for that.
    """

    problem: str
    http_status: int | None = None
    retryable: bool = False
    retry_after: float | None = None

    def __str__(self) -> str:
        return self.problem


@dataclass(eq=False, repr=False)
class IdsIgnoredError(OmnichatError):
    """The vendor delivered messages again that it was said to recognise by their ids; another try would not help."""

    messages: int = 1

    def __str__(self) -> str:
        return (
            f"The vendor's logs show messages that were delivered twice under one id ({self.messages}): idempotent"
            " sending is not enabled for this account. Set idempotent_sending to false in the connection"
        )


@dataclass(eq=False, repr=False)
class SendError(OmnichatError):
    """
    An invite that was not accepted; see the subclasses.

    :param reason: what happened and what to do about it.
    :param http_status: HTTP status of the answer; None if none came.
    :param code: the vendor's error code (``BAD_REQUEST``, ``E429``) or the status name of a refused answer.
    :param vendor_text: what the vendor said, safe to show.
    :param retry_after: seconds that the vendor asks to wait, if it does.
    :param answer: the vendor's answer, if it can be read.
    :param retryable: whether the same request may be sent again without risk of a second SMS.
    :param account_fault: whether every further invite of this account would fail the same way.
    """

    outcome: ClassVar[Outcome]

    reason: Reason
    _: KW_ONLY
    http_status: int | None = None
    code: str | None = None
    vendor_text: str | None = None
    retry_after: float | None = None
    answer: InviteAnswer | None = None
    retryable: bool = False
    account_fault: bool = False


class InviteRejectedError(SendError):
    """The vendor refused this invite (HTTP 200 with status group 2, 4 or 5, or HTTP 400), and would refuse it again."""

    outcome = Outcome.REJECTED


class InviteNotSentError(SendError):
    """The vendor certainly did not take the invite, so it may be sent again."""

    outcome = Outcome.NOT_SENT


class InviteUnknownError(SendError):
    """The invite may have been sent, so it must not be sent again automatically."""

    outcome = Outcome.UNKNOWN
