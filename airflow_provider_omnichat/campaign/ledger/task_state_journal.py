"""
The ledger of a batch in Airflow's task state store: many invites in few, compact values.

A value of the store costs about 12 ms to write, so a key for each invite would be the slowest part of sending. Here up
to :data:`SEGMENT_INVITES` invites share one value: ten bytes of hash each in base64, and one letter for the outcome,
together 14.4 bytes an invite. Why invites are in doubt is written once for all of a value that have the same reason.
Numbers are never in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.interface import IN_DOUBT, Claim, Entry, LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import reason_of
from airflow_provider_omnichat.campaign.ledger.settle import settle_each
from airflow_provider_omnichat.campaign.ledger.task_state import CheckedStore, StateStore
from airflow_provider_omnichat.campaign.ledger.task_state_parts import Part, read_parts, segment_count
from airflow_provider_omnichat.campaign.ledger.task_state_segment import (
    DECIDED_LETTERS,
    HASH_BYTES,
    LETTERS,
    OUTCOMES,
    SEGMENT_INVITES,
    Segment,
    Span,
    journal_name,
    span_of,
)
from airflow_provider_omnichat.campaign.ledger.task_state_settled import Place, Settled, SettledInvites


class StateStoreJournal:
    """
    A ledger that only grows: what is claimed again is appended again, and the last one counts.

    :param store: ``context["task_state_store"]``.
    :param campaign: what the invites belong to; another campaign of the same task has a journal of its own.
    :raises LedgerError: when what earlier tries left cannot be read.
    """

    def __init__(self, store: StateStore, campaign: str) -> None:
        self._store = CheckedStore(store)
        self._name = journal_name(campaign)
        self._earlier: dict[bytes, str] = {}
        self._reasons: dict[bytes, Reason] = {}
        self._settlements: dict[bytes, Settlement] = {}
        self._spans: dict[bytes, Span] = {}
        self._open: dict[bytes, tuple[Segment, int]] = {}
        self._dirty: dict[str, Segment] = {}
        self._segments = self._counted = 0
        self._last: Segment | None = None
        self._seen_back = False
        self._load()

    def claim(self, claims: Sequence[Claim], retake: Collection[Outcome | None]) -> Mapping[str, Entry]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        taken = {name: entry for name, entry in self.find(claims).items() if entry.outcome not in retake}
        free = [_short(claim.recipient) for claim in claims if claim.recipient not in taken]
        try:
            for segment in self._append(free):
                self._write(segment)
        except LedgerError:
            self._take_back(free)
            raise
        return taken

    def find(self, claims: Sequence[Claim]) -> Mapping[str, Entry]:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        found: dict[str, Entry] = {}
        for claim in claims if self._earlier else ():
            short = _short(claim.recipient)
            letter = self._earlier.get(short)
            if letter is not None:
                claimed_at, at = self._spans.get(short) or (None, datetime.now(UTC))
                found[claim.recipient] = Entry(
                    OUTCOMES[letter],
                    at,
                    reason=self._reasons.get(short),
                    settlement=self._settlements.get(short),
                    claimed_at=claimed_at,
                )
        return found

    def record(self, entries: Mapping[str, Entry]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        for recipient, entry in entries.items():
            self._end(_short(recipient), entry.outcome, entry.reason)

    def leave_in_doubt(self, claims: Sequence[Claim]) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        left = {_short(name): entry for name, entry in self.find(claims).items() if entry.outcome is None}
        if not left:
            return
        # In a value of their own, which says when they were claimed, and not that it was now.
        self._last = None
        self._append(list(left), span_of(list(left.values())))
        self._last = None
        for short, entry in left.items():
            reason = reason_of(entry)
            self._end(short, Outcome.UNKNOWN, reason)
            self._earlier[short], self._reasons[short] = LETTERS[Outcome.UNKNOWN], reason
        self.flush()

    def settle(
        self, claims: Sequence[Claim], settlements: Mapping[str, Settlement], *, no_try_runs: bool = False
    ) -> Mapping[str, str]:
        """
        See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`.

        Not from outside of the task while a try of it runs, which would not see it. What that try records is newer.

        :param no_try_runs: the caller knows that no try of the task runs: claims that nobody ended are settled, too.
        """
        entries, refused = settle_each(self.find(claims), settlements, no_try_runs=no_try_runs)
        if entries:
            shorts = {_short(name): settlements[name] for name in entries}
            changed = {short: Settled(self._earlier[short], settlement) for short, settlement in shorts.items()}
            self._settled.add(self._end_of_journal(), changed)
            self._apply(changed)
        return refused

    def flush(self) -> None:
        """See :class:`~airflow_provider_omnichat.campaign.ledger.interface.Ledger`."""
        for segment in list(self._dirty.values()):
            self._write(segment)
        if self._last is not None and 2 * len(self._last.letters) > SEGMENT_INVITES:
            self._count(self._segments + 1)  # the next claims need not wait for it then

    def close(self) -> None:
        """Nothing is open: the task's own connection to Airflow is used."""

    def _append(self, shorts: Sequence[bytes], span: Span | None = None) -> list[Segment]:
        """Put claims into segments and give these, one if that is possible: the senders wait for each."""
        last, touched = self._last, dict[str, Segment]()
        now = datetime.now(UTC)
        begin, end = span or (now, now)
        if last is not None and len(last.letters) + len(shorts) > SEGMENT_INVITES >= len(shorts):
            last = None
        for short in shorts:
            if last is None or len(last.letters) >= SEGMENT_INVITES:
                # The count goes ahead of the segment: a segment that is counted and missing is noticed, one that is not
                # counted would be read as "nobody was claimed". Only the last one may be missing when a crash comes.
                for segment in [each for each in self._dirty.values() if not each.is_written]:
                    self._write(segment)
                    touched.pop(segment.key, None)
                self._count(self._segments + 1)
                last = self._last = Segment(f"{self._name}:{self._segments}")
                self._segments += 1
            if last.key not in touched:
                touched[last.key] = self._dirty[last.key] = last
                last.span = min(begin, (last.span or (begin, end))[0]), end
            self._open[short] = (last, len(last.letters))
            last.hashes += short
            last.letters += b"."
        return list(touched.values())

    def _count(self, segments: int) -> None:
        if segments > self._counted:
            self._put(f"{self._name}:count", segments)
            self._counted = segments

    def _write(self, segment: Segment) -> None:
        self._put(segment.key, segment.to_json())
        segment.is_written = True
        self._seen_back = True
        del self._dirty[segment.key]

    def _put(self, key: str, value: object) -> None:
        """Write a value; the first count and the first segment are read back, see :class:`CheckedStore`."""
        if self._seen_back:
            self._store.set(key, value)
        else:
            self._store.set_and_see(key, value)

    def _take_back(self, shorts: Sequence[bytes]) -> None:
        """
        Note that nothing of a claim that failed will be sent; it may be in the store all the same.

        What an earlier try may have sent is as much in doubt as it was.
        """
        for short in shorts:
            if short in self._open:
                outcome = OUTCOMES[self._earlier.get(short, LETTERS[Outcome.NOT_SENT])]
                self._end(short, outcome, self._reasons.get(short))

    def _end(self, short: bytes, outcome: Outcome | None, reason: Reason | None) -> None:
        segment, place = self._open.pop(short)
        segment.letters[place] = ord((segment.letter_of(outcome, reason) if reason else None) or LETTERS[outcome])
        self._dirty[segment.key] = segment

    def _load(self) -> None:
        self._counted = segment_count(self._store, self._name)
        self._settled = SettledInvites(self._store, self._name, is_new=not self._counted)
        for part in read_parts(self._store, self._name, self._counted, self._settled.blocks):
            if isinstance(part, Part):
                self._take_in(part)
                self._segments = part.number + 1
            else:
                self._apply(part)

    def _end_of_journal(self) -> Place:
        return Place(self._segments, 0) if self._last is None else Place(self._segments - 1, len(self._last.letters))

    def _apply(self, invites: Mapping[bytes, Settled]) -> None:
        """Take in what was settled, of invites that are in doubt as they were then."""
        for short, (letter, settlement) in invites.items():
            if self._earlier.get(short) == letter:
                self._settlements[short] = settlement
                self._earlier[short] = LETTERS[Outcome.ACCEPTED if settlement.was_sent else Outcome.NOT_SENT]
                if not settlement.was_sent:
                    self._reasons.pop(short, None)

    def _take_in(self, part: Part) -> None:
        """Take in invites. A doubt keeps its reason while it is one: also when it was claimed again."""
        found = dict(zip(part.shorts, part.letters, strict=True))
        explained = part.explained
        reasons = {short: explained[letter] for short, letter in found.items() if letter in explained}
        found |= {short: letter for short, (letter, _) in reasons.items()}
        self._earlier.update(found)
        for short in self._reasons.keys() & found.keys() if self._reasons else ():
            if OUTCOMES[found[short]] not in IN_DOUBT:
                del self._reasons[short]
        self._reasons.update((short, reason) for short, (_, reason) in reasons.items())
        for short in self._settlements.keys() & found.keys():
            del self._settlements[short]
        if not DECIDED_LETTERS.issuperset(part.letters):
            self._spans.update(dict.fromkeys((each for each in found if OUTCOMES[found[each]] in IN_DOUBT), part.span))


def _short(recipient: str) -> bytes:
    return bytes.fromhex(recipient[: 2 * HASH_BYTES])
