"""A campaign without sending: what it would do, for the person who has to approve it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.measuring import CampaignRefusedError, Fingerprint, measure_list
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan
from airflow_provider_omnichat.campaign.engine.process import rarely_collected
from airflow_provider_omnichat.campaign.ledger.frequency_cap import CountingLedger, FrequencyCap
from airflow_provider_omnichat.campaign.ledger.interface import Claim, Ledger
from airflow_provider_omnichat.campaign.ledger.retake import refusal_of
from airflow_provider_omnichat.campaign.model.rows import Candidate, Refusal, Result, RowSource
from airflow_provider_omnichat.campaign.preview.budget import Size
from airflow_provider_omnichat.campaign.preview.statistics import Preview
from airflow_provider_omnichat.campaign.results.tally import Tally

_BLOCK_ROWS = 1000

Lookup = Callable[[Sequence[Candidate]], dict[str, Refusal]]
"""Returns, by recipient, why some of these would not be sent."""


@dataclass(frozen=True, slots=True)
class CampaignPreview:
    """What a campaign would do."""

    tally: Tally  # how the rows would end; what would be sent counts as not_sent, later as held
    statistics: Preview  # of what would be sent
    fingerprint: str  # of the whole list
    size: Size | None  # of the whole list; None if no budget is set


def preview_campaign(plan: CampaignPlan, source: RowSource) -> CampaignPreview:
    """
    Read the list and send nothing: no client is made, and the ledger is only read.

    :raises CampaignRefusedError: the source is not a list that can be sent.
    :raises OmnichatError: the list or the ledger cannot be read.
    """
    rules, fingerprint = plan.rules, Fingerprint()
    statistics = Preview(
        price_per_segment=rules.budget.price_per_segment,
        currency=rules.budget.currency,
        template=plan.invite.template.text if plan.invite.template else "",
    )
    measures_list = rules.budget.is_set or rules.partition is not None
    with rarely_collected():
        try:
            with source.open(reads_twice=measures_list) as rows:
                measure = measure_list(plan.whole_list_checker, rows) if measures_list else None
                with closing(plan.records.ledger()) as ledger:
                    lookup = lookup_in(ledger, rules.frequency_cap)
                    checked = plan.row_checker(fingerprint.add).checked(rows)
                    tally = _preview_of(checked, statistics, lookup, waits=rules.waits)
        except ValueError as error:
            raise CampaignRefusedError(str(error)) from None
    if measure is None:
        return CampaignPreview(tally, statistics, str(fingerprint), None)
    return CampaignPreview(tally, statistics, measure.fingerprint, measure.size)


def lookup_in(ledger: Ledger, cap: FrequencyCap | None) -> Lookup:
    """Return a function that asks the ledger, and claims nothing."""

    def lookup(candidates: Sequence[Candidate]) -> dict[str, Refusal]:
        refused = {
            recipient: refusal
            for recipient, entry in ledger.find([Claim.of(each) for each in candidates]).items()
            if (refusal := refusal_of(entry)) is not None
        }
        free = {each.identity: each.recipient for each in candidates if each.recipient not in refused}
        if cap is not None and free:
            counts = cast("CountingLedger", ledger).count_recent(free, datetime.now(UTC) - cap.period)
            refused |= {free[number]: Refusal(Outcome.SUPPRESSED, cap.reason) for number in cap.over(counts)}
        return refused

    return lookup


def _preview_of(checked: Iterable[Candidate | Result], statistics: Preview, lookup: Lookup, *, waits: bool) -> Tally:
    tally, rows = Tally(), iter(checked)
    while block := list(itertools.islice(rows, _BLOCK_ROWS)):
        refused = lookup([row for row in block if isinstance(row, Candidate)])
        for row in block:
            if isinstance(row, Candidate):
                refusal = refused.get(row.recipient)
                if refusal is None and row.wait is not None and not waits:
                    refusal = Refusal(Outcome.HELD, row.wait.reason)
                if refusal is None:
                    statistics.add(row)
                    tally.add(row.unsent(Outcome.HELD if row.wait else Outcome.NOT_SENT))
                    continue
                row = row.unsent(refusal.outcome, refusal.reason)
            statistics.add(row)
            tally.add(row)
    return tally
