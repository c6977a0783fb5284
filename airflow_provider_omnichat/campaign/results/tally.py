"""What is said of a batch: counts and reasons, for the manifest and for the text of an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.rows import Result, shown_key
from airflow_provider_omnichat.campaign.model.sentences import cut

_WORST_FIRST = (
    Outcome.UNKNOWN,
    Outcome.NOT_SENT,
    Outcome.REJECTED,
    Outcome.INVALID,
    Outcome.HELD,
    Outcome.SUPPRESSED,
    Outcome.DUPLICATE,
)
_MOST_KINDS = 200
_MOST_SHOWN = 5
_MOST_KEYS = 5
_LONGEST_NAME = 64
_ACCEPTED = Outcome.ACCEPTED  # to look it up takes longer than to count a row


class Tally:
    """Counts rows as they end, and why they were not accepted."""

    def __init__(self, sent_this_try: int = 0, segments: int = 0, started_at: str | None = None) -> None:
        self.counts: dict[Outcome, int] = dict.fromkeys((Outcome.UNKNOWN, *Outcome), 0)
        """Rows by outcome; those in doubt come first wherever they are shown."""
        self.due: dict[Outcome, int] = {Outcome.NOT_SENT: 0, Outcome.HELD: 0}
        """Rows still to be sent, by another try or when their window opens; also those that stay ``unknown`` because
        something kept them from being sent again."""
        self.segments = segments
        self.sent_this_try = sent_this_try
        self.started_at = datetime.fromisoformat(started_at) if started_at else datetime.now(UTC)
        self._kinds: dict[_Kind, _Counted] = {}

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    def add(self, result: Result, sent_now: bool = False, kept_by: Outcome | None = None) -> None:
        """Count a row; *kept_by* is what a row in doubt would be otherwise, NOT_SENT or HELD, if that keeps it back."""
        self.counts[result.outcome] += 1
        if sent_now:
            self.sent_this_try += 1
            self.segments += result.message_count or 0
        if result.outcome is _ACCEPTED:
            return
        due = kept_by or result.outcome
        if due in self.due:
            self.due[due] += 1
        if result.reason is not None:
            self._count_reason(result, result.reason)

    def count_of(self, *codes: ReasonCode) -> int:
        return sum(counted.count for kind, counted in list(self._kinds.items()) if kind.code in codes)

    def _count_reason(self, result: Result, reason: Reason) -> None:
        kind = _Kind(result.outcome, reason.code.value, reason.status or result.status_name)
        counted = self._kinds.get(kind)
        if counted is None:
            if len(self._kinds) >= _MOST_KINDS:  # the vendor may name statuses without end
                kind = kind._replace(name=None)
            counted = self._kinds.setdefault(kind, _Counted(reason))
        counted.count += 1
        if len(counted.first) < _MOST_KEYS:
            key = shown_key(result.key, result.to)
            counted.first.append(cut(key, _LONGEST_NAME) if key else result.position)

    def _most_frequent(self, outcome: Outcome) -> list[tuple[_Kind, _Counted]]:
        # A copy first: the page of a running task may ask while rows are counted.
        kinds = [each for each in list(self._kinds.items()) if each[0].outcome is outcome]
        return sorted(kinds, key=lambda each: -each[1].count)[:_MOST_SHOWN]

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """The five most frequent reasons of each outcome, the worst outcome first, as plain data without numbers."""
        return [
            {
                "outcome": kind.outcome.value,
                "code": kind.code,
                "name": _safe(kind.name),
                "count": counted.count,
                "first": list(counted.first),
            }
            for outcome in _WORST_FIRST
            for kind, counted in self._most_frequent(outcome)
        ]

    def reason_lines(self) -> list[str]:
        """Return a line for each outcome with a reason: ``3 rejected: REJECTED_DND 2 (C-1014, C-1320), ...``."""
        lines = []
        for outcome in _WORST_FIRST:
            if shown := self._most_frequent(outcome):
                said = [_said(kind, counted) for kind, counted in shown]
                if others := self.counts[outcome] - sum(counted.count for _, counted in shown):
                    said.append(f"others {others:,}")
                lines.append(f"{self.counts[outcome]:,} {outcome.label}: {', '.join(said)}")
        return lines

    def causes(self, *outcomes: Outcome, said: str | None = None) -> str:
        """Return the most frequent reasons, one a line; without the text of one that repeats what was *said*."""
        lines = []
        for outcome in outcomes:
            for kind, counted in self._most_frequent(outcome):
                text = str(counted.reason)
                is_known = said is not None and said in text
                lines.append(f"  {outcome.label}: {_said(kind, counted)}" + ("" if is_known else f": {text}"))
        return "\n".join(lines)

    @property
    def carried_over(self) -> dict[str, Any]:
        """The arguments with which a new tally goes on after a wait of the same try."""
        started_at = self.started_at.isoformat()
        return {"sent_this_try": self.sent_this_try, "segments": self.segments, "started_at": started_at}

    def manifest(self, campaign: str, location: str | None, missing: int | None = 0) -> dict[str, Any]:
        """Build the summary for XCom, without personal data; *missing* rows have no outcome, None if nobody knows."""
        return {
            "campaign": campaign,
            "rows": self.rows,
            "missing": missing,
            "counts": {str(outcome): count for outcome, count in self.counts.items()},
            "reasons": self.reasons,
            "results": location,
            "segments": self.segments,
            "sent_this_try": self.sent_this_try,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def summary(self) -> str:
        """Return the counts that are not zero, in one line."""
        counts = [f"{count} {outcome.label}" for outcome, count in self.counts.items() if count]
        return f"{self.rows} rows: " + (", ".join(counts) or "nothing to do")

    def to_markdown(self, missing: int | None = 0) -> str:
        """Return the same in one line of Markdown, those in doubt first; see :meth:`manifest` for *missing*."""
        bold = (Outcome.UNKNOWN, Outcome.ACCEPTED)
        shown = []
        for outcome in (*bold, *(each for each in _WORST_FIRST if each not in bold)):
            if count := self.counts[outcome]:
                said = f"{count:,} {outcome.label}"
                shown.append(f"**{said}**" if outcome in bold else said)
        if missing != 0:
            shown.append("the rest of the list not read" if missing is None else f"{missing:,} without an outcome")
        return f"{', '.join(shown) or 'nothing to do'}; {self.rows:,} rows"


class _Kind(NamedTuple):
    """Rows that ended alike; ``name`` is that of the vendor's status."""

    outcome: Outcome
    code: str
    name: str | None


@dataclass(slots=True)
class _Counted:
    """The first reason of a kind, and the user's keys of its first rows, or their positions if they have none."""

    reason: Reason
    count: int = 0
    first: list[str | int] = field(default_factory=list)


def _said(kind: _Kind, counted: _Counted) -> str:
    keys = [key if isinstance(key, str) else f"row {key}" for key in counted.first]
    more = ", ..." if counted.count > len(keys) else ""
    return f"{_safe(kind.name) or kind.code.replace('_', ' ')} {counted.count:,} ({', '.join(keys)}{more})"


def _safe(name: str | None) -> str | None:
    return cut(scrub(name), _LONGEST_NAME) if name else None
