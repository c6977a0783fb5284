"""The ledger: who was claimed and how it ended, kept outside the process, so that a later try knows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome

SENDS_AGAIN: frozenset[Outcome] = frozenset({Outcome.NOT_SENT, Outcome.HELD})
"""Outcomes after which a later try sends: the vendor certainly did not take these."""


class LedgerError(OmnichatError):
    """The ledger cannot be read or written. That is not an empty ledger: nothing more is sent."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    What the ledger knows of one invite.

    :param outcome: how it ended; None while it is claimed and nobody has said how it ended.
    :param at: when that was written.
    :param answer: the vendor's answer where there was one, without the number.
    :param reason: why it was not accepted, for people.
    """

    outcome: Outcome | None
    at: datetime
    answer: InviteAnswer | None = None
    reason: str | None = None

    @classmethod
    def now(cls, outcome: Outcome | None, answer: InviteAnswer | None = None, reason: str | None = None) -> Entry:
        """Make an entry of this moment."""
        return cls(outcome, datetime.now(UTC), answer, reason)

    def to_json(self) -> dict[str, Any]:
        """Give plain data for a store; the phone number is left out."""
        data: dict[str, Any] = {"outcome": self.outcome or "claimed", "at": self.at.isoformat()}
        if self.answer is not None:
            data["answer"] = {name: value for name, value in self.answer.to_json().items() if name != "to"}
        if self.reason is not None:
            data["reason"] = self.reason
        return data

    @classmethod
    def from_json(cls, data: object) -> Entry:
        """
        Read what :meth:`to_json` gave.

        :raises LedgerError: when it is something else.
        """
        try:
            if not isinstance(data, dict):
                raise TypeError("not an object")
            return cls(
                outcome=None if data["outcome"] == "claimed" else Outcome(data["outcome"]),
                at=datetime.fromisoformat(data["at"]),
                answer=InviteAnswer.from_json(data["answer"]) if "answer" in data else None,
                reason=data.get("reason"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(f"The ledger holds an entry that cannot be read ({error!r}); nothing was sent") from error


class Ledger(Protocol):
    """Where claims and outcomes live. Recipients are given as :func:`recipient_key`, never as numbers."""

    def claim(self, recipients: Sequence[str], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        """
        Claim each recipient that is free or ended in one of *retake*.

        :param recipients: keys, each once.
        :param retake: the outcomes that may be tried again; None in it stands for a claim without an outcome.
        :return: what the ledger has for those that were **not** claimed.
        :raises LedgerError: nothing may be sent then.
        """

    def record(self, entries: Mapping[str, Entry]) -> None:
        """
        Write how claimed invites ended.

        :param entries: by recipient key.
        :raises LedgerError: nothing more may be sent then.
        """


def recipient_key(campaign: str, number: str) -> str:
    """
    Give the name under which a ledger knows a recipient: a hash, so that no number is stored.

    A hash of a phone number can be found again by trying all numbers; it is a pseudonym and not anonymous.

    :param campaign: the campaign's name.
    :param number: in international format, digits only.
    :return: 32 hexadecimal digits.
    """
    return hashlib.blake2b(f"{campaign}\n{number}".encode(), digest_size=16).hexdigest()


class NoLedger:
    """Remembers nothing: all that there is where Airflow has no task state store and no database was named."""

    def claim(self, recipients: Sequence[str], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.Ledger`."""
        return {}

    def record(self, entries: Mapping[str, Entry]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.Ledger`."""
