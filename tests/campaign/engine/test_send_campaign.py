"""A campaign from its plan, without Airflow: sent, previewed, refused, stopped, and sent again."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression
from airflow_provider_omnichat.campaign.checks.partition import Partition
from airflow_provider_omnichat.campaign.engine.measuring import CampaignRefusedError
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan, Pace, Records, Rules
from airflow_provider_omnichat.campaign.engine.preview_campaign import preview_campaign
from airflow_provider_omnichat.campaign.engine.process import StopSignal
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.send_campaign import send_campaign
from airflow_provider_omnichat.campaign.ledger.place import LedgerPlace
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.model.rows import Candidate, ListFailedError, Refusal, RowSourceError
from airflow_provider_omnichat.campaign.preview.budget import Budget
from airflow_provider_omnichat.campaign.results.tally import Tally
from tests.support.planned_campaigns import Listed, plan
from tests.support.sql_servers import Target

LOG = logging.getLogger(__name__)


NUMBERS = [f"+417930267{i:02d}" for i in range(40)]


def in_ledger(path: Path) -> Records:
    database = Target("sqlite", "sqlite3", {"database": str(path)}).database()
    return Records(lambda: SqlLedger(database, "c", "dag/run/task"), LedgerPlace(database, "c"))


def send(of: CampaignPlan, source: Listed, client: AsyncOmnichatClient, **given: Any) -> CampaignReport:
    return send_campaign(of, source, client=client, log=LOG, **given)


def counts(of: Tally) -> dict[str, int]:
    return {str(outcome): count for outcome, count in of.counts.items() if count}


def test_a_plan_is_sent_and_reported(sandbox, client):
    report = send(plan(), Listed(*NUMBERS, NUMBERS[0], "nobody"), client)
    assert counts(report.tally) == {"accepted": 40, "duplicate": 1, "invalid": 1}
    assert (report.total, report.read, report.missing, report.is_complete) == (42, 42, 0, True)
    assert (report.failure, report.stop_reason, report.was_stopped, report.interrupt) == (None, None, False, None)
    assert report.location is None
    assert {sms.to for sms in sandbox.accepted} == {number[1:] for number in NUMBERS}
    assert any(sms.message.startswith("Hi P07, follow us: ") for sms in sandbox.accepted)


def test_a_ledger_makes_a_second_campaign_send_nothing(sandbox, client, tmp_path):
    of = plan(records=in_ledger(tmp_path / "ledger.sqlite"))
    assert send(of, Listed(*NUMBERS), client).location == "table omnichat_invites"
    again = send(of, Listed(*NUMBERS), client)
    assert counts(again.tally) == {"accepted": 40}
    assert again.tally.sent_this_try == 0
    assert len(sandbox.accepted) == 40


def test_rules_of_the_plan_are_kept(sandbox, client):
    rules = Rules(opt_outs=Suppression([NUMBERS[0]]), partition=Partition(0, 2))
    parts = [send(plan(rules=rules), Listed(*NUMBERS), client)]
    parts.append(
        send(plan(rules=Rules(opt_outs=Suppression([NUMBERS[0]]), partition=Partition(1, 2))), Listed(*NUMBERS), client)
    )
    assert sum(part.tally.counts[Outcome.ACCEPTED] for part in parts) == 39
    assert sum(part.tally.counts[Outcome.SUPPRESSED] for part in parts) == 1
    assert [part.total for part in parts] == [None, None]
    assert len({sms.to for sms in sandbox.accepted}) == len(sandbox.accepted) == 39


class OnlyOf:
    """A rule as a user writes it."""

    def __init__(self, *numbers: str) -> None:
        self.numbers = numbers

    def check(self, candidate: Candidate, fields: Mapping[str, Any]) -> Candidate | Refusal:
        return (
            candidate if fields["mobile"] in self.numbers else Refusal.by_rule("is not one of the first", fields["id"])
        )


def test_a_rule_of_the_users_own_refuses_rows_when_sending_measuring_and_in_a_preview(sandbox, client):
    of = plan(rules=Rules(own=(OnlyOf(*NUMBERS[:3]),), budget=Budget(max_invites=3)))
    preview = preview_campaign(of, Listed(*NUMBERS))
    assert counts(preview.tally) == {"not_sent": 3, "suppressed": 37}
    assert preview.size is not None
    assert preview.size.invites == 3
    report = send(of, Listed(*NUMBERS), client)
    assert counts(report.tally) == {"accepted": 3, "suppressed": 37}
    assert [(each["code"], each["count"]) for each in report.tally.reasons] == [("refused_by_rule", 37)]


@pytest.mark.parametrize("rules", [Rules(budget=Budget(max_invites=39)), Rules(approved="another")])
def test_what_is_beyond_the_budget_or_not_approved_is_refused_before_anything_is_sent(sandbox, client, rules):
    source = Listed(*NUMBERS)
    with pytest.raises(CampaignRefusedError, match=r"max_invites is 39|approved: this is not the list"):
        send(plan(rules=rules), source, client)
    assert source.opened == [True]
    assert sandbox.requests_seen == 0


def test_a_preview_sends_nothing_and_its_fingerprint_approves(sandbox, client, tmp_path):
    of = plan(records=in_ledger(tmp_path / "ledger.sqlite"), rules=Rules(budget=Budget(max_invites=40)))
    send(of, Listed(NUMBERS[0]), client)
    preview = preview_campaign(of, Listed(*NUMBERS, "nobody"))
    assert counts(preview.tally) == {"not_sent": 39, "duplicate": 1, "invalid": 1}
    assert preview.statistics.to_json()["invites"] == 39
    assert preview.size is not None
    assert preview.size.invites == 40  # of the whole list: what the ledger leaves out needs no new approval
    assert len(sandbox.accepted) == 1
    approved = plan(records=in_ledger(tmp_path / "ledger.sqlite"), rules=Rules(approved=preview.fingerprint))
    assert counts(send(approved, Listed(*NUMBERS, "nobody"), client).tally) == {"accepted": 40, "invalid": 1}


@pytest.mark.parametrize(
    ("error", "raised"),
    [(RowSourceError("no list"), CampaignRefusedError), (ListFailedError("broke"), ListFailedError)],
)
def test_a_list_that_is_none_is_refused_and_one_that_fails_may_be_tried_again(sandbox, client, error, raised):
    with pytest.raises(raised, match=str(error)):
        send(plan(), Listed(error=error), client)
    with pytest.raises(raised, match=str(error)):
        preview_campaign(plan(), Listed(error=error))
    assert sandbox.requests_seen == 0


def test_a_campaign_that_is_stopped_before_it_begins_sends_nothing(sandbox, client):
    stop = StopSignal()
    stop.set()
    report = send(plan(), Listed(*NUMBERS), client, stop=stop)
    assert report.was_stopped
    assert sandbox.requests_seen == 0
    assert report.tally.counts[Outcome.ACCEPTED] == 0


def test_the_pace_of_the_plan_is_kept(sandbox, client):
    sandbox.script("ok", "drop-after")
    report = send(plan(pace=Pace(concurrency=1, retry_budget=0)), Listed(*NUMBERS[:3]), client)
    assert counts(report.tally) == {"accepted": 2, "unknown": 1}


def test_the_engine_knows_no_airflow():
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, airflow_provider_omnichat.campaign.engine.send_campaign,"
            " airflow_provider_omnichat.campaign.engine.preview_campaign;"
            " print([name for name in sys.modules if name == 'airflow' or name.startswith('airflow.')])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"
