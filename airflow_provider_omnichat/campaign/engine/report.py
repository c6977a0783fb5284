"""The state of a campaign: returned at its end, and readable before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.results.tally import Tally


@dataclass(slots=True)
class CampaignReport:
    """One try of a campaign."""

    location: str | None = None  # where its rows are, for people; None if no rows are kept
    total: int | None = None  # rows of the list, where that is known
    tally: Tally = field(default_factory=Tally)  # of the rows that have ended
    read: int = 0  # rows so far that belong to this task's partition
    is_complete: bool = False  # whether the list was read to its end
    failure: OmnichatError | None = None  # of the list, the ledger or the results; it ended the campaign early
    stop_reason: str | None = None  # why sending stopped before the list ended
    was_stopped: bool = False  # whether the campaign was asked to stop
    opens_at: datetime | None = None  # when the first send window opens of rows that have to wait
    # Names of rows whose outcome could not be written to the ledger, by outcome; for another try they are in doubt.
    unwritten: Mapping[Outcome, Sequence[str]] = field(default_factory=dict)
    # Raised in the thread that waited for the campaign, such as a time-out of the task; to be raised again.
    interrupt: BaseException | None = None

    @property
    def missing(self) -> int | None:
        """Rows without an outcome because this try ended first; None if the length of the list is not known."""
        rows = self.read if self.is_complete else self.total
        return None if rows is None else rows - self.tally.rows

    def fail(self, failure: OmnichatError) -> None:
        """Note why the campaign ends early; the first reason counts."""
        self.failure = self.failure or failure

    def wait_until(self, moment: datetime) -> None:
        """Note when a send window opens; the earliest counts."""
        self.opens_at = min(self.opens_at or moment, moment)
