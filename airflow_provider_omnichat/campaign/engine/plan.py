"""
A campaign before it begins: what is sent, to whom, by which rules, how fast, and where it is recorded.

Operators build parts of it when a DAG file is parsed, so what is heavy is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from airflow_provider_omnichat.campaign.checks.invite import InviteDefaults
from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
from airflow_provider_omnichat.campaign.ledger.interface import Ledger, NoLedger
from airflow_provider_omnichat.campaign.ledger.retake import Retake
from airflow_provider_omnichat.campaign.model.arguments import is_number, one_of, seconds_of
from airflow_provider_omnichat.campaign.model.place import NoPlace, Place
from airflow_provider_omnichat.campaign.model.rows import Columns
from airflow_provider_omnichat.campaign.preview.budget import Budget

if TYPE_CHECKING:
    from airflow_provider_omnichat.api.models import Invite
    from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression
    from airflow_provider_omnichat.campaign.checks.partition import Partition
    from airflow_provider_omnichat.campaign.checks.row_checker import RowChecker, Rule
    from airflow_provider_omnichat.campaign.ledger.frequency_cap import FrequencyCap


@dataclass(frozen=True, slots=True)
class Rules:
    """Who is left out, who has to wait, and which lists are refused as a whole."""

    opt_outs: Suppression | None = None
    send_window: SendWindow | None = None
    frequency_cap: FrequencyCap | None = None  # over all campaigns of the ledger
    partition: Partition | None = None  # this task's share of the list; None for all of it
    own: tuple[Rule, ...] = ()  # rules of the user's own, asked last
    budget: Budget = field(default_factory=Budget)  # for the whole list
    approved: str | None = None  # the fingerprint of the approved list; None if no approval is needed

    @property
    def waits(self) -> bool:
        """Whether recipients outside the window are waited for, and not left out."""
        return self.send_window is None or self.send_window.on_closed == "defer"

    @property
    def measures_list(self) -> bool:
        """Whether the whole list is read once before the first send."""
        return self.budget.is_set or self.approved is not None


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How fast, and how stubbornly.

    :param rate_limit: invites a second at most; None for as many as the vendor takes.
    :param concurrency: requests under way at most.
    :param retry_budget: seconds within which an invite that was certainly not taken is tried again.
    :param on_unknown: what happens to invites that an earlier try may have sent: ``"hold"`` keeps them in doubt,
        ``"resend"`` sends them, ``"lookup"`` asks the vendor's SMS logs.
    :param progress_every: seconds between two lines of progress in the log.
    :param repeat_seconds: how long after its first request an invite in doubt is repeated with the same id; None if the
        vendor has not enabled that, or the invites have no id of ours.
    :param log_delay: seconds after which a message that was taken is in the vendor's SMS logs.
    :raises ValueError: names the argument, and what it must be.
    """

    rate_limit: float | None = None
    concurrency: int = 32
    retry_budget: float = 60.0
    on_unknown: Literal["hold", "resend", "lookup"] = "hold"
    progress_every: float = 10.0
    repeat_seconds: float | None = None
    log_delay: float = 600.0

    def __post_init__(self) -> None:
        if self.rate_limit is not None and not (is_number(self.rate_limit) and self.rate_limit > 0):
            raise ValueError(f"rate_limit must be above 0 invites a second, or None, not {self.rate_limit!r}")
        if type(self.concurrency) is not int or not 1 <= self.concurrency <= 1000:
            raise ValueError(f"concurrency must be a whole number between 1 and 1000, not {self.concurrency!r}")
        seconds_of("retry_budget", self.retry_budget)
        one_of("on_unknown", self.on_unknown, ("hold", "resend", "lookup"))

    @property
    def retake(self) -> Retake:
        """Which invites that an earlier try may have sent are sent again."""
        return Retake(self.on_unknown == "resend", self.repeat_seconds)

    @property
    def looks_up(self) -> bool:
        """Whether the vendor's SMS logs are asked about them."""
        return self.on_unknown == "lookup" or self.repeat_seconds is not None


@dataclass(frozen=True, slots=True)
class Records:
    """Where it is recorded."""

    ledger: Callable[[], Ledger] = NoLedger  # makes the ledger, in the thread that uses it
    results: Place = field(default_factory=NoPlace)
    patience: float = 60.0  # seconds that the ledger or the results may be away in the middle of sending


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """
    All that is known of a campaign before its list is read.

    :param campaign: the name within which a number is invited at most once.
    """

    campaign: str
    invite: InviteDefaults = field(default_factory=InviteDefaults)
    columns: Columns = field(default_factory=Columns)
    rules: Rules = field(default_factory=Rules)
    pace: Pace = field(default_factory=Pace)
    records: Records = field(default_factory=Records)

    def row_checker(self, on_invite: Callable[[Invite], None] | None = None) -> RowChecker:
        """Return the checker of this task's rows; *on_invite* gets each invite that could be sent, before the rules."""
        from airflow_provider_omnichat.campaign.checks.send_window_rule import WindowRule

        window = self.rules.send_window
        rules: list[Rule | None] = [self.rules.opt_outs, WindowRule(window) if window else None]
        return self._checker(rules, self.rules.partition, on_invite)

    def whole_list_checker(self, on_invite: Callable[[Invite], None]) -> RowChecker:
        """Return the checker of the whole list, now and later: budgets and approvals are of all of it."""
        return self._checker([self.rules.opt_outs], None, on_invite)

    def _checker(
        self, rules: list[Rule | None], partition: Partition | None, on_invite: Callable[[Invite], None] | None
    ) -> RowChecker:
        from airflow_provider_omnichat.campaign.checks.row_checker import RowChecker

        asked = [rule for rule in (*rules, *self.rules.own) if rule is not None]
        return RowChecker(self.campaign, self.invite, self.columns, partition, asked, on_invite)
