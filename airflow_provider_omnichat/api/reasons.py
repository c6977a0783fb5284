"""
Why an invite was not accepted: a code for programs, a sentence for people.

Made where the fact is known, passed on as it is, and turned into text where a person reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class ReasonCode(StrEnum):
    """The codes of all reasons; they never change. ``docs/reference/results.md`` explains each."""

    ROW_UNREADABLE = "row_unreadable"
    ROW_HAS_TWO_COLUMNS = "row_has_two_columns"

    NO_NUMBER = "no_number"
    NOT_A_NUMBER = "not_a_number"
    NUMBER_TOO_SHORT = "number_too_short"
    NUMBER_TOO_LONG = "number_too_long"
    NUMBER_OF_WRONG_LENGTH = "number_of_wrong_length"
    NUMBER_LOST_DIGITS = "number_lost_digits"
    NUMBER_AMBIGUOUS = "number_ambiguous"
    SEVERAL_NUMBERS = "several_numbers"
    NO_COUNTRY_CODE = "no_country_code"
    UNKNOWN_COUNTRY_CODE = "unknown_country_code"
    NOT_A_NUMBER_OF_COUNTRY = "not_a_number_of_country"
    UNKNOWN_COUNTRY = "unknown_country"

    NO_TEXT = "no_text"
    NOT_A_TEXT = "not_a_text"
    NO_FIELD_FOR_TEXT = "no_field_for_text"
    NO_LINK_PLACEHOLDER = "no_link_placeholder"
    MESSAGE_TOO_LONG = "message_too_long"
    NO_APPLICATION = "no_application"
    UNUSABLE_APPLICATION = "unusable_application"
    NOT_A_LINK = "not_a_link"
    UNUSABLE_SENDER = "unusable_sender"

    NOT_A_TIME_ZONE = "not_a_time_zone"
    NO_TIME_ZONE = "no_time_zone"
    NEVER_IN_SEND_WINDOW = "never_in_send_window"
    OUTSIDE_SEND_WINDOW = "outside_send_window"

    DUPLICATE_IN_LIST = "duplicate_in_list"
    ACCEPTED_EARLIER = "accepted_earlier"
    REJECTED_EARLIER = "rejected_earlier"
    BEING_SENT = "being_sent"
    OPTED_OUT = "opted_out"
    FREQUENCY_CAP = "frequency_cap"
    FORGOTTEN = "forgotten"
    REFUSED_BY_RULE = "refused_by_rule"

    NO_CONNECTION = "no_connection"
    NO_TOKEN = "no_token"  # noqa: S105 - no secret
    RATE_LIMITED = "rate_limited"
    SERVICE_UNAVAILABLE = "service_unavailable"
    HTTP_ACCOUNT_REFUSED = "http_account_refused"
    SENDING_STOPPED = "sending_stopped"

    REJECTED_BY_VENDOR = "rejected_by_vendor"
    HTTP_REJECTED = "http_rejected"

    READ_TIMEOUT = "read_timeout"
    CONNECTION_BROKEN = "connection_broken"
    HTTP_SERVER_ERROR = "http_server_error"
    HTTP_UNCLEAR = "http_unclear"
    UNREADABLE_ANSWER = "unreadable_answer"
    ANSWER_FOR_ANOTHER = "answer_for_another"
    STATUS_UNCLEAR = "status_unclear"
    ID_TAKEN = "id_taken"
    STOPPED_IN_FLIGHT = "stopped_in_flight"
    PROVIDER_ERROR = "provider_error"
    CLAIM_NEVER_ENDED = "claim_never_ended"
    NOT_KNOWN = "not_known"
    IN_DOUBT_SINCE_EARLIER_RUN = "in_doubt_since_earlier_run"

    SETTLED_AS_SENT = "settled_as_sent"


class Reason(NamedTuple):
    """Why an invite was not accepted."""

    # A named tuple, since bad lists have one for each row: a frozen dataclass takes four times as long to make.
    code: ReasonCode
    text: str  # for people, and the same for all rows with this reason: without a number, line or time
    field: str = ""  # the field at fault, such as to
    subject: str = ""  # what of this row it is about, before the text: 41793****27, line 3:
    detail: str = ""  # what else is known of this row, after the text
    since: str = ""  # what has become of an invite in doubt for this reason
    status: str = ""  # the vendor's name of its status, for people

    @property
    def general(self) -> str:
        """The sentence without what belongs to one row: equal for equal reasons, so that they can be counted."""
        return f"{self.field}: {self.text}" if self.field else self.text

    @property
    def first(self) -> str:
        """The sentence of this row, without what became of it since."""
        field = f"{self.field}: " if self.field else ""
        subject = f"{self.subject} " if self.subject else ""
        return f"{field}{subject}{self.text}" + (f": {self.detail}" if self.detail else "")

    def __str__(self) -> str:
        return f"{self.first.rstrip('.')}. {self.since}" if self.since else self.first

    def to_json(self) -> dict[str, str]:
        """Return plain data for a store."""
        more = {"since": self.since, "status": self.status}
        return {"code": self.code.value, "text": self.first, **{name: value for name, value in more.items() if value}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Reason:
        """Read the result of :meth:`to_json`, or raise ValueError or KeyError; the sentence comes back as a whole."""
        since, status = str(data.get("since", "")), str(data.get("status", ""))
        return cls(ReasonCode(data["code"]), str(data["text"]), since=since, status=status)
