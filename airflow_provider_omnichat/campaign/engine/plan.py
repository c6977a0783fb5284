"""A campaign before it begins: what is sent, to whom, by which rules, how fast, and where it is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression
from airflow_provider_omnichat.campaign.checks.partition import Partition
from airflow_provider_omnichat.campaign.checks.row_checker import RowChecker, Rule
from airflow_provider_omnichat.campaign.checks.send_window_rule import WindowRule
from airflow_provider_omnichat.campaign.checks.text import MessageTemplate
from airflow_provider_omnichat.campaign.ledger.frequency_cap import FrequencyCap
from airflow_provider_omnichat.campaign.ledger.interface import Ledger, NoLedger
from airflow_provider_omnichat.campaign.model.place import NoPlace, Place
from airflow_provider_omnichat.campaign.preview.budget import Budget


@dataclass(frozen=True, slots=True)
class InviteDefaults:
    """
    What is sent, where a row does not say otherwise.

    :param template: the text.
    :param link_placeholder: the piece of the text in whose place the vendor puts the link.
    :param application_key: the OMNI application.
    :param integration_type: the channel that the invites lead to.
    :param default_region: the country of numbers without a country code, as two letters.
    """

    template: MessageTemplate | None = None
    link_placeholder: str = "<link>"
    application_key: str | None = None
    integration_type: str | None = None
    default_region: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """
    To whom: the fields of a row that say it.

    :param to: the number.
    :param region: the country of the number; None for none.
    :param key: the user's name of the row; None for none.
    """

    to: str = "to"
    region: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """
    Who is left out, who has to wait, and which lists are refused as a whole.

    :param opt_outs: who is never written to.
    :param send_window: when people may be written to.
    :param waits: False if whoever is outside of the window is left out, and not waited for.
    :param frequency_cap: how often, over all campaigns of the ledger.
    :param partition: the part of the list that is sent to; None for all of it.
    :param budget: how large the whole list may be.
    :param approved: the fingerprint of the list that somebody approved; None where nobody has to.
    """

    opt_outs: Suppression | None = None
    send_window: WindowRule | None = None
    waits: bool = True
    frequency_cap: FrequencyCap | None = None
    partition: Partition | None = None
    own: tuple[Rule, ...] = ()
    """Rules of the user's own, asked last."""
    budget: Budget = field(default_factory=Budget)
    approved: str | None = None

    @property
    def measures_list(self) -> bool:
        """Whether the whole list is looked at before the first send."""
        return self.budget.is_set or self.approved is not None


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How fast, and how stubbornly.

    :param rate_limit: invites a second at most; None for as many as the vendor takes.
    :param concurrency: requests under way at most.
    :param retry_budget: seconds within which an invite that was certainly not taken is tried again.
    :param resend_unknown: send also where an earlier try may have sent.
    :param looks_up: ask the vendor's SMS logs what became of what an earlier try may have sent.
    :param progress_every: seconds between two lines of progress in the log.
    """

    rate_limit: float | None = None
    concurrency: int = 32
    retry_budget: float = 60.0
    resend_unknown: bool = False
    looks_up: bool = False
    progress_every: float = 10.0


@dataclass(frozen=True, slots=True)
class Records:
    """
    Where it is recorded.

    :param ledger: makes the ledger, in the thread that uses it.
    :param results: takes the result rows.
    :param patience: seconds that the ledger or the results may be away in the middle of sending.
    """

    ledger: Callable[[], Ledger] = NoLedger
    results: Place = field(default_factory=NoPlace)
    patience: float = 60.0

    @property
    def location(self) -> str | None:
        """Where the rows are, for people; None when nobody asked for rows."""
        return self.results.location


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """
    All that there is to know of a campaign before its list is read.

    :param campaign: the name within which a number is invited at most once.
    """

    campaign: str
    invite: InviteDefaults = field(default_factory=InviteDefaults)
    columns: Columns = field(default_factory=Columns)
    rules: Rules = field(default_factory=Rules)
    pace: Pace = field(default_factory=Pace)
    records: Records = field(default_factory=Records)

    def row_checker(self, on_invite: Callable[[Invite], None] | None = None) -> RowChecker:
        """
        Make what checks the rows that this task sends to.

        :param on_invite: called with each invite that could be sent, before the rules.
        """
        return self._checker([self.rules.opt_outs, self.rules.send_window], self.rules.partition, on_invite)

    def whole_list_checker(self, on_invite: Callable[[Invite], None]) -> RowChecker:
        """
        Make what checks the rows of the whole list, now and later: budgets and approvals are of all of it.

        :param on_invite: called with each invite that could be sent, before the rules.
        """
        return self._checker([self.rules.opt_outs], None, on_invite)

    def _checker(
        self, rules: list[Rule | None], partition: Partition | None, on_invite: Callable[[Invite], None] | None
    ) -> RowChecker:
        return RowChecker(
            campaign=self.campaign,
            template=self.invite.template,
            link_placeholder=self.invite.link_placeholder,
            application_key=self.invite.application_key,
            integration_type=self.invite.integration_type,
            default_region=self.invite.default_region,
            to_column=self.columns.to,
            region_column=self.columns.region,
            key_column=self.columns.key,
            partition=partition,
            rules=[rule for rule in (*rules, *self.rules.own) if rule is not None],
            on_invite=on_invite,
        )
