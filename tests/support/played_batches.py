"""A list that is sent in one try through the real batch, by a client that plays what each number meets."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_omnichat.api import event_loop
from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteRejectedError, InviteUnknownError
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from airflow_provider_omnichat.campaign.engine.batch import Batch
from airflow_provider_omnichat.campaign.engine.patience import Patience
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan, Pace, Records
from airflow_provider_omnichat.campaign.engine.process import StopSignal, WorkerThread
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.storage import Storage
from airflow_provider_omnichat.campaign.ledger.interface import Ledger
from airflow_provider_omnichat.campaign.model.place import NoPlace
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result
from airflow_provider_omnichat.campaign.rows.lists import rows_of_list
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from tests.support.ledger_homes import NUMBERS, accepted
from tests.support.patience import PATIENCE_SECONDS
from tests.support.reasons import why
from tests.support.row_checks import gate

LOST = InviteUnknownError(why("The invite may have been sent, or not: no answer came"))
BUSY = InviteNotSentError(why("The invite was not sent: HTTP 429"), http_status=429, retryable=True)
LOCKED_OUT = InviteNotSentError(why("The invite was not sent: HTTP 401"), http_status=401, account_fault=True)
REFUSED = InviteRejectedError(why("The vendor rejected the invite"), http_status=200)


class Rows(NoPlace):
    """Keeps result rows as they come."""

    def __init__(self) -> None:
        self.by_number: dict[str, list[Result]] = defaultdict(list)

    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        for _, result in results:
            self.by_number[result.to].append(result)


class Vendor:
    """
    A client that plays what each number meets, and remembers what it was asked for.

    :param plays: an answer or an error by number; accepted if there is neither.
    """

    def __init__(self, plays: Callable[[str], Any]) -> None:
        self._plays = plays
        self.asked: list[str] = []

    async def __aenter__(self) -> Vendor:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send_once(self, invite: Invite) -> InviteAnswer:
        self.asked.append(invite.to)
        await asyncio.sleep(0)
        given = self._plays(invite.to)
        if isinstance(given, BaseException):
            raise given
        return given or accepted(invite.to)


@dataclass
class Tried:
    """How a try of a batch went."""

    report: CampaignReport
    asked: list[str]
    rows: Mapping[str, list[Result]]

    def outcomes(self) -> dict[str, str]:
        """By number; each has one row."""
        assert {number: len(rows) for number, rows in self.rows.items() if len(rows) != 1} == {}
        return {number: str(rows[0].outcome) for number, rows in self.rows.items()}


@dataclass
class Closing:
    """A rule by which the window of these numbers closes before their turn comes."""

    numbers: Sequence[str] = field(default_factory=list)

    def check(self, candidate: Candidate, _: Mapping[str, Any]) -> Candidate:
        return candidate._replace(closes_at=1.0) if candidate.invite.to in self.numbers else candidate


def attempt(
    make_ledger: Callable[[], Ledger],
    plays: Callable[[str], Any] = lambda to: None,
    *,
    numbers: Sequence[str] = NUMBERS,
    resend: bool = False,
    closing: Sequence[str] = (),
    meanwhile: Callable[[Batch], Any] | None = None,
) -> Tried:
    """Send the list in one try, one invite at a time, through the real batch."""
    rows, vendor = Rows(), Vendor(plays)

    report = CampaignReport()
    plan = CampaignPlan(
        "c",
        pace=Pace(concurrency=1, retry_budget=0, on_unknown="resend" if resend else "hold"),
        records=Records(make_ledger, rows),
    )

    async def main() -> None:
        reader, writer = WorkerThread("reader"), WorkerThread("writer")
        log, pacer = logging.getLogger(__name__), Pacer()
        storage = await writer.call(Storage, plan, report, Patience(0, pacer.hold, log))
        batch = Batch(plan, storage, vendor, pacer, report, reader, writer)  # type: ignore[arg-type]
        if meanwhile is not None:
            meanwhile(batch)
        checked = gate(rules=[Closing(closing)]).checked(rows_of_list([{"to": f"+{number}"} for number in numbers]))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await batch.run(checked, asyncio.sleep(3600), log, StopSignal())
        reader.close()
        writer.close()

    event_loop.run(main())
    return Tried(report, vendor.asked, rows.by_number)
