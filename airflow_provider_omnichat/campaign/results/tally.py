"""What is said of a batch: counts and reasons, for the manifest and for the text of an error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.reason_counts import WORST_FIRST, ReasonCounts

_ACCEPTED = Outcome.ACCEPTED  # to look it up takes longer than to count a row


class Tally:
    """
    Counts rows as they end, and why those that were not accepted were not.

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
        self._reasons = ReasonCounts()

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
        if sent_now:
            self.sent_this_try += 1
            self.segments += result.message_count or 0
        if result.outcome is _ACCEPTED:
            return
        due = kept_by or result.outcome
        if due in self.due:
            self.due[due] += 1
        self._reasons.add(result)

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """
        The five most frequent reasons of each outcome, the worst outcome first, as plain data without numbers.

        Of each: ``outcome``, ``code`` (of the reason), ``name`` (of the vendor's status; None where there is none),
        ``count`` (rows) and ``first`` (at most five of the user's keys, as text, or positions, as numbers).
        """
        return self._reasons.to_json()

    def reason_lines(self) -> list[str]:
        """Give the same for people, a line for each outcome."""
        return list(self._reasons.lines(self.counts))

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
            "reasons": self.reasons,
            "results": location,
            "segments": self.segments,
            "sent_this_try": self.sent_this_try,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def summary(self) -> str:
        """Give the counts that are not zero, in one line."""
        counts = [f"{count} {outcome.label}" for outcome, count in self.counts.items() if count]
        return f"{self.rows} rows: " + (", ".join(counts) or "nothing to do")

    def to_markdown(self, missing: int | None = 0) -> str:
        """
        Give the same for people, in one line of Markdown: doubts first.

        :param missing: rows of the list that have no outcome; None where it is not known how many.
        """
        bold = (Outcome.UNKNOWN, Outcome.ACCEPTED)
        order = (*bold, *(outcome for outcome in WORST_FIRST if outcome not in bold))
        shown = []
        for outcome in order:
            if count := self.counts[outcome]:
                said = f"{count:,} {outcome.label}"
                shown.append(f"**{said}**" if outcome in bold else said)
        if missing != 0:
            shown.append("the rest of the list not read" if missing is None else f"{missing:,} without an outcome")
        return f"{', '.join(shown) or 'nothing to do'}; {self.rows:,} rows"

    def causes(self, *outcomes: Outcome, said: str | None = None) -> str:
        """
        Give the most frequent reasons of some outcomes, one a line.

        :param outcomes: in this order.
        :param said: what the reader knows already; a reason that says it again is named without its text.
        """
        return "\n".join(line for outcome in outcomes for line in self._reasons.causes(outcome, said))
