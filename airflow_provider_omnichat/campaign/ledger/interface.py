"""The ledger: claims and their outcomes, kept outside the process so that a later try knows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_bytes
from typing import Any, NamedTuple, Protocol

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.model.place import StorageError
from airflow_provider_omnichat.campaign.model.rows import Candidate

CERTAINLY_NOT_SENT: frozenset[Outcome | None] = frozenset({Outcome.NOT_SENT, Outcome.HELD})
"""Outcomes after which a later try sends: the vendor certainly did not take these."""

IN_DOUBT: frozenset[Outcome | None] = frozenset({Outcome.UNKNOWN, None})
"""Outcomes after which a later try sends only if the user says so; None is an open claim."""

_MOST_CHARACTERS = 500


class LedgerError(StorageError):
    """The ledger cannot be read or written. That is not an empty ledger: nothing more is sent."""


class Claim(NamedTuple):
    """What is about to be sent."""

    recipient: str  # the identity key, under which entries are found and recorded
    identity: str  # the number by which the person is known; only a ledger in the user's own database keeps it
    key: str | None = None  # the user's name of the row, such as a customer id; kept where the number is
    message_id: str | None = None  # under which it is sent, if that id is ours
    again: bool = False  # whether it may be claimed although it is in doubt, to be repeated under the same id

    @classmethod
    def of(cls, candidate: Candidate) -> Claim:
        """Build the claim of a row that passed the checks."""
        message_id = candidate.invite.message_id or None
        return cls(candidate.recipient, candidate.identity, candidate.key, message_id, candidate.again)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was found out about an invite in doubt."""

    was_sent: bool  # if not, the next try sends it
    by: str  # a person, or the task that looked it up
    why: str  # how they know
    at: datetime
    answer: InviteAnswer | None = field(default=None, compare=False)  # in the vendor's log, if it was found there

    @property
    def described(self) -> str:
        """Who settled it, when, and how they know."""
        return f"by {scrub(self.by)} at {self.at:%Y-%m-%d %H:%M} UTC, {scrub(self.why)}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a store, without the answer: that is the entry's."""
        texts = {"by": self.by[:_MOST_CHARACTERS], "why": self.why[:_MOST_CHARACTERS]}
        return {"was_sent": self.was_sent, **texts, "at": self.at.isoformat()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settlement:
        """Read what :meth:`to_json` returned; raise a KeyError or ValueError for anything else."""
        at = datetime.fromisoformat(data["at"])
        return cls(was_sent=bool(data["was_sent"]), by=str(data["by"]), why=str(data["why"]), at=at)


class Entry(NamedTuple):
    """What the ledger knows of one invite; what a ledger does not keep is None, or empty."""

    outcome: Outcome | None  # None while the claim is open
    at: datetime  # when that was written
    answer: InviteAnswer | None = None  # without the number
    # Of a doubt the first reason, and what happened since; also of an open claim, if the invite was in doubt before.
    reason: Reason | None = None
    attempts: int = 1
    same_task: bool = True  # whether a try of this same task instance wrote it, and not another task or run
    settlement: Settlement | None = None  # who settled it, if it was in doubt; *reason* is then that of the doubt
    claimed_at: datetime | None = None  # at the earliest
    owner: str = ""  # the task instance that claimed it
    message_id: str | None = None  # under which it was sent, or was about to be
    is_over: bool = False  # whether the claim is open and its try has ended, so that the invite is in doubt
    was_repeated: bool = False  # whether it was claimed again while it was in doubt

    @classmethod
    def now(
        cls,
        outcome: Outcome | None,
        answer: InviteAnswer | None = None,
        reason: Reason | None = None,
        attempts: int = 1,
        message_id: str | None = None,
    ) -> Entry:
        """Build an entry of this moment."""
        return cls(outcome, datetime.now(UTC), answer, reason, attempts, message_id=message_id)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a store, without the phone number."""
        data: dict[str, Any] = {"outcome": self.outcome or "claimed", "at": self.at.isoformat()}
        if self.answer is not None:
            data["answer"] = {name: value for name, value in self.answer.to_json().items() if name != "to"}
        if self.reason is not None:
            data["reason"] = self.reason.to_json()
        if self.settlement is not None:
            data["settlement"] = self.settlement.to_json()
        if self.message_id:
            data["message_id"] = self.message_id
        return data

    @classmethod
    def from_json(cls, data: object) -> Entry:
        """Read what :meth:`to_json` returned; raise a LedgerError for anything else."""
        try:
            if not isinstance(data, dict):
                raise TypeError("not an object")
            return cls(
                outcome=None if data["outcome"] == "claimed" else Outcome(data["outcome"]),
                at=datetime.fromisoformat(data["at"]),
                answer=InviteAnswer.from_json(data["answer"]) if "answer" in data else None,
                reason=Reason.from_json(data["reason"]) if "reason" in data else None,
                settlement=Settlement.from_json(data["settlement"]) if "settlement" in data else None,
                message_id=data.get("message_id"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(f"The ledger holds an entry that cannot be read ({error!r}); nothing was sent") from error


class Ledger(Protocol):
    """
    Where claims and outcomes are kept.

    Calls come from one thread at a time, each may block, and each raises :class:`LedgerError` when the ledger cannot be
    read or written: then nothing more may be sent. After one with ``is_outage``, the same call can be made again.
    """

    group_factor: float
    """
    How many invites, for each request under way, make a commit worth its cost.

    A kill leaves at most twice as many in doubt, beside those under way, so it is little over 1 unless a commit costs a
    lot.
    """

    def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        """
        Claim each recipient that is free, or whose earlier invite ended in one of *retake*; durable on return.

        Two tasks that claim the same recipient at the same moment cannot both get it, if they share the ledger.

        :param claims: each recipient once.
        :param retake: the outcomes that may be tried again; None in it stands for an open claim. Holds only for entries
            of this task instance (``same_task``), but NOT_SENT and HELD for those of others, too.
        :return: what the ledger has for those that were **not** claimed, by recipient.
        """

    def id_key(self) -> bytes:
        """Return the random key of its message ids, always the same: the first who asks for it makes it."""

    def repeated(self) -> int:
        """Count the invites in doubt that an earlier try of this task instance may have repeated."""
        return 0

    def find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        """Return what the ledger has of these recipients, by recipient; claim nothing."""

    def record(self, entries: Mapping[str, Entry]) -> None:
        """
        Record how claimed invites ended; durable after the next :meth:`flush`.

        :param entries: by recipient; each was claimed through this ledger object.
        """

    def leave_in_doubt(self, claims: Sequence[Claim]) -> None:
        """
        Record open claims as ``unknown`` if the try that made them is over; durable on return.

        That is an earlier try of this task instance, or one of another task instance that has ended. What another run
        of this same task has claimed since this one began is left as it is.

        :param claims: each recipient once.
        """

    def settle(self, claims: Sequence[Claim], settlements: Mapping[str, Settlement]) -> Mapping[str, str]:
        """
        Record what was found out about invites in doubt; durable on return.

        :param claims: each recipient once.
        :param settlements: by recipient; each is of one of *claims*.
        :return: why some were not settled, by recipient: not in doubt, or perhaps being sent right now.
        """

    def flush(self) -> None:
        """Make durable what was recorded, unless each record is."""
        return

    def close(self) -> None:
        """Close the connection, if there is one."""
        return


class NoLedger(Ledger):
    """Remembers nothing: for an Airflow without a task state store, if no database was named."""

    group_factor: float = 1

    def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        return {}

    def id_key(self) -> bytes:
        return token_bytes(16)  # where nothing is remembered, no later try sends the same invite again

    def find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        return {}

    def record(self, entries: Mapping[str, Entry]) -> None:
        """Do nothing."""

    def leave_in_doubt(self, claims: Sequence[Claim]) -> None:
        """Do nothing."""

    def settle(self, claims: Sequence[Claim], settlements: Mapping[str, Settlement]) -> Mapping[str, str]:
        return {}
