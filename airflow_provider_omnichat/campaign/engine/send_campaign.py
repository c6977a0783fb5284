"""A campaign from its plan to its report: the entry point for operators, commands and tests."""

from __future__ import annotations

from collections.abc import Sized
from contextlib import ExitStack
from functools import partial

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.campaign.engine.batch import run_batch
from airflow_provider_omnichat.campaign.engine.measuring import CampaignRefusedError, check_list, measure_list
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan
from airflow_provider_omnichat.campaign.engine.process import StopSignal, rarely_collected, run_beside
from airflow_provider_omnichat.campaign.engine.progress import Log, Progress, Publish
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.model.rows import RowSource, RowSourceError
from airflow_provider_omnichat.campaign.results.tally import Tally


def send_campaign(
    plan: CampaignPlan,
    source: RowSource,
    *,
    client: AsyncOmnichatClient,
    log: Log,
    publish: Publish | None = None,
    stop: StopSignal | None = None,
    tally: Tally | None = None,
) -> CampaignReport:
    """
    Bring every row of a list to its outcome, each recipient at most once.

    :param plan: what is sent, to whom, by which rules, how fast, and where it is recorded.
    :param source: the rows.
    :param client: not entered yet.
    :param log: where progress is logged.
    :param publish: takes snapshots of the progress, now and then and at the end.
    :param stop: asks the campaign to end early; what was sent is still recorded.
    :param tally: counts of this try before it waited for the send window.
    :return: the state at the end. Check its ``failure``, and raise its ``interrupt``.
    :raises CampaignRefusedError: the list cannot be sent, is larger than the budget, or is not the approved one.
    :raises OmnichatError: the list, the network, the ledger or earlier results failed at the start; nothing was sent.
    """
    with rarely_collected(), ExitStack() as opened:
        if publish is not None and not (tally and tally.sent_this_try):
            opened.push(partial(_publish_failure, publish))
        try:
            rows = opened.enter_context(source.open(reads_twice=plan.rules.measures_list))
            if plan.rules.measures_list:
                measure = measure_list(plan.whole_list_checker, rows)
                check_list(measure, plan.rules.budget, plan.rules.approved)
        except ValueError as error:
            raise CampaignRefusedError(str(error)) from None
        total = len(rows) if isinstance(rows, Sized) and plan.rules.partition is None else None
        report, stop = CampaignReport(plan.records.results.location, total, tally or Tally()), stop or StopSignal()
        progress = Progress(report, plan.pace.rate_limit)
        campaign = partial(
            run_batch, plan, rows, client=client, report=report, progress=progress, log=log, publish=publish, stop=stop
        )
        report.interrupt = run_beside(campaign, stop)
        if publish is not None:
            publish(progress.snapshot(is_over=True))
    if isinstance(report.failure, RowSourceError) and not report.tally.rows:
        raise CampaignRefusedError(str(report.failure))
    return report


def _publish_failure(publish: Publish, _: object, error: BaseException | None, __: object) -> None:
    """Say why nothing was sent, so that the task does not look as if its worker had been killed."""
    if error is not None:
        why = str(error) if isinstance(error, OmnichatError | CampaignRefusedError) else type(error).__name__
        publish({"is_over": True, "stop_reason": why})
