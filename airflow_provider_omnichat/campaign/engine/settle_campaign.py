"""A campaign of the SQL ledger whose doubts are looked up."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.logs import SmsLogs
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.campaign.engine.look_up import LookUp
from airflow_provider_omnichat.campaign.engine.stop_signal import StopSignal
from airflow_provider_omnichat.campaign.engine.worker_thread import WorkerThread
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, LedgerAudit, LedgerRow
from airflow_provider_omnichat.campaign.ledger.interface import Entry


@dataclass(slots=True)
class Settling:
    """
    How far it is.

    :param found: invites that were found in the logs, and are settled as sent.
    :param still_in_doubt: invites that were not, or that nobody has asked for yet.
    """

    found: int = 0
    still_in_doubt: int = 0


async def settle_campaign(
    campaign: str,
    audit: LedgerAudit,
    admin: LedgerAdmin,
    client: AsyncOmnichatClient,
    patience: float,
    settling: Settling,
    stop: StopSignal,
) -> None:
    """
    Look up all who are in doubt, and settle those who are found.

    A claim that may be being sent right now is left alone.

    :param campaign: its name.
    :param audit: of the ledger.
    :param admin: of the same.
    :param client: not entered yet.
    :param patience: seconds for which the logs are asked again when they cannot be read.
    :param settling: takes how far it is.
    :param stop: asks it to end early.
    :raises SmsLogsError: the logs cannot be read.
    :raises LedgerError: the ledger cannot be read or written.
    """
    writer, stopped = WorkerThread("omnichat-ledger"), []
    stop.listen(lambda: stopped.append(True))
    try:
        doubts = [row for row in await writer.call(lambda: list(audit.doubts(campaign))) if not row.is_forgotten]
        settling.still_in_doubt = len(doubts)
        async with client:
            look_up = LookUp(SmsLogs(client, backoff=Backoff(budget=patience, first=1.0)))
            for row in doubts:
                if stopped:
                    return
                found = await look_up.find(row.recipient, _entry_of(row))
                if found is None:
                    continue
                refused = await writer.call(admin.settle, campaign, {row.recipient: found})
                if not refused:
                    settling.found += 1
                    settling.still_in_doubt -= 1
    finally:
        await writer.call(admin.close)
        writer.close()


def _entry_of(row: LedgerRow) -> Entry:
    outcome = None if row.outcome == CLAIMED else Outcome(row.outcome)
    return Entry(outcome, max(row.updated, row.claimed_at), claimed_at=row.claimed_at)
