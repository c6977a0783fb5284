"""What reached the sandbox: the latest invite requests, and totals that are never cut."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice, takewhile

from airflow_provider_omnichat.sandbox.statuses import Status


@dataclass(frozen=True, slots=True)
class Receipt:
    """One invite as it reached the sandbox, and what became of it."""

    sequence: int = 0  # 1 for the first invite since the start or the last clear
    time: float = 0.0  # seconds since the epoch
    to: str = ""  # as sent; empty if the body could not be read
    message: str = ""
    text: str = ""  # the message with the invite link put in, as the recipient would read it
    segments: int = 0
    link_placeholder: str | None = None
    application_key: str = ""  # the SMS API has none, and no integration type
    integration_type: str = ""
    message_id: str | None = None  # the client's own, or the vendor's; None if it was refused before it had one
    status: Status | None = None  # in the answer, even if the client does not get it; None after an error
    fault: str | None = None  # the fault it met, or rate-limit
    http_status: int | None = None  # what was answered; None for no answer
    accepted: bool = False  # whether an SMS would have gone out
    suppressed: bool = False  # whether it repeated an accepted message id, and nothing went out for that reason
    sender: str | None = None  # of the SMS API, like the options
    options: Mapping[str, object] | None = None

    def as_json(self) -> dict[str, object]:
        """Return plain JSON values, with the whole number."""
        return {
            **{name: getattr(self, name) for name in self.__slots__},
            "time": datetime.fromtimestamp(self.time, UTC).isoformat(timespec="milliseconds"),
            "status": self.status.as_wire() if self.status else None,
        }


@dataclass
class Totals:
    """Counts since the start or the last clear."""

    requests: int = 0
    accepted: int = 0
    numbers_sent_twice: int = 0  # accepted more than once, whatever the messages
    same_message_twice: int = 0  # those of them that got the same message more than once, with the same placeholder
    several_messages: int = 0  # those of them that got different messages, as of several campaigns
    suppressed: int = 0  # repeats of an accepted message id that reached nobody
    by_status: dict[str, int] = field(default_factory=Counter)
    by_http_status: dict[str, int] = field(default_factory=Counter)  # "none" stands for no answer
    by_fault: dict[str, int] = field(default_factory=Counter)


class Outbox:
    """The receipts, newest last, at most ``keep`` of them."""

    def __init__(self, keep: int) -> None:
        self._receipts: deque[Receipt] = deque(maxlen=keep)
        self._by_id: dict[str, tuple[Receipt, ...]] = {}
        self._newest_by_id: Receipt | None = None
        self.requests_seen = 0
        self._totals = Totals()
        # Hashes of the messages: only this and the counters grow with the run.
        self._sent: dict[str, int] = {}
        self._sent_again: dict[str, set[int]] = {}
        self._same_again: set[str] = set()

    def next_sequence(self) -> int:
        """Return the sequence number of the receipt to be added next."""
        return self._totals.requests + 1

    def add(self, receipt: Receipt) -> None:
        """Keep a receipt and count it."""
        self._receipts.append(receipt)
        totals = self._totals
        totals.requests += 1
        totals.by_http_status[str(receipt.http_status or "none")] += 1
        if receipt.status is not None:
            totals.by_status[receipt.status.name] += 1
        if receipt.fault is not None:
            totals.by_fault[receipt.fault] += 1
        totals.suppressed += receipt.suppressed
        if receipt.accepted:
            totals.accepted += 1
            self._count_messages(receipt)

    def _count_messages(self, receipt: Receipt) -> None:
        message = hash((receipt.message, receipt.link_placeholder))
        if receipt.to not in self._sent:
            self._sent[receipt.to] = message
            return
        messages = self._sent_again.setdefault(receipt.to, {self._sent[receipt.to]})
        if message in messages:
            self._same_again.add(receipt.to)
        messages.add(message)

    def latest(self, limit: int | None = None) -> Iterable[Receipt]:
        """Yield the receipts, newest first."""
        return islice(reversed(self._receipts), limit)

    def find(self, message_ids: Iterable[str]) -> list[Receipt]:
        """Return the invites with these message ids, the newest of each first, also those that are no longer kept."""
        # The index is brought up to date when it is asked, so that sending pays nothing for it.
        newer = list(takewhile(lambda receipt: receipt is not self._newest_by_id, self.latest()))
        for receipt in reversed(newer):
            if receipt.message_id is not None:
                self._by_id[receipt.message_id] = (receipt, *self._by_id.get(receipt.message_id, ()))
        self._newest_by_id = newer[0] if newer else self._newest_by_id
        return [receipt for each in message_ids for receipt in self._by_id.get(each, ())]

    def totals(self) -> Totals:
        """Return a copy of the counts."""
        return replace(
            self._totals,
            numbers_sent_twice=len(self._sent_again),
            same_message_twice=len(self._same_again),
            several_messages=sum(len(messages) > 1 for messages in self._sent_again.values()),
            by_status=dict(self._totals.by_status),
            by_http_status=dict(self._totals.by_http_status),
            by_fault=dict(self._totals.by_fault),
        )


def mask(number: str) -> str:
    """Return a number as it may be shown: ``41793****27``; of a short one only the last two digits."""
    return f"{number[:5]}****{number[-2:]}" if len(number) > 8 else f"****{number[-2:] if len(number) > 4 else ''}"
