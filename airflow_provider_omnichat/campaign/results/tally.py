"""What is said of a batch: counts and examples, for the manifest and for the text of an error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.campaign.model.rows import Result, row_name

_EXAMPLES = 10
_FAILURES = (Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.REJECTED, Outcome.INVALID)


class Tally:
    """
    Counts rows as they end, and keeps a few examples of those that did not go well.

    :param sent_this_try: sent and accepted before, if this try goes on after a rest.
    :param segments: SMS that the vendor counted of these.
    :param started_at: when the try began, ISO 8601; now if None.
    """

    def __init__(self, sent_this_try: int = 0, segments: int = 0, started_at: str | None = None) -> None:
        self.counts: dict[Outcome, int] = dict.fromkeys((Outcome.UNKNOWN, *Outcome), 0)
        """Rows by outcome, those in doubt first, wherever it is shown."""
        self.due: dict[Outcome, int] = {Outcome.NOT_SENT: 0, Outcome.HELD: 0}
        """Rows that are still to be sent: by another try, or when their window opens. Among them those that stay
        ``unknown`` because something kept them from being sent again."""
        self.segments = segments
        self.sent_this_try = sent_this_try
        self.started_at = datetime.fromisoformat(started_at) if started_at else datetime.now(UTC)
        self._examples: dict[Outcome, list[str]] = {outcome: [] for outcome in _FAILURES}

    @property
    def rows(self) -> int:
        """Rows that have ended."""
        return sum(self.counts.values())

    def add(self, result: Result, sent_now: bool = False, kept_by: Outcome | None = None) -> None:
        """
        Count a row.

        :param result: how it ended.
        :param sent_now: whether this try sent it and the vendor accepted.
        :param kept_by: what would have been its outcome, NOT_SENT or HELD, if an earlier try had not left it in doubt;
            None if it was not to be sent again.
        """
        self.counts[result.outcome] += 1
        due = kept_by or result.outcome
        if due in self.due:
            self.due[due] += 1
        if sent_now:
            self.sent_this_try += 1
            self.segments += result.message_count or 0
        examples = self._examples.get(result.outcome)
        if examples is not None and len(examples) < _EXAMPLES:
            name = row_name(result.position, result.key)
            examples.append(f"{name} {mask_number(result.to)}: {result.error or 'no reason given'}")

    @property
    def carried_over(self) -> dict[str, Any]:
        """What a later part of the same try goes on from; the parameters of this class."""
        return {
            "sent_this_try": self.sent_this_try,
            "segments": self.segments,
            "started_at": self.started_at.isoformat(),
        }

    def manifest(self, campaign: str, location: str | None, missing: int | None = 0) -> dict[str, Any]:
        """
        Give the small summary that goes to XCom; no personal data.

        :param campaign: the campaign's name.
        :param location: where the rows are.
        :param missing: rows of the list that have no outcome; None where it is not known how many.
        """
        return {
            "campaign": campaign,
            "rows": self.rows,
            "missing": missing,
            "counts": {str(outcome): count for outcome, count in self.counts.items()},
            "results": location,
            "segments": self.segments,
            "sent_this_try": self.sent_this_try,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def summary(self) -> str:
        """Give the counts that are not zero, in one line."""
        counts = [f"{count} {outcome.replace('_', ' ')}" for outcome, count in self.counts.items() if count]
        return f"{self.rows} rows: " + (", ".join(counts) or "nothing to do")

    def examples(self, *outcomes: Outcome) -> str:
        """
        Give at most ten examples, one a line.

        :param outcomes: the ones to take them from, in this order.
        """
        found = [f"  {outcome}: {text}" for outcome in outcomes for text in self._examples[outcome]]
        return "\n".join(found[:_EXAMPLES])
