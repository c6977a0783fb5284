"""The snapshot of a single invite has the shape of a campaign's."""

from __future__ import annotations

import json

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.engine.snapshot import snapshot, snapshot_of_one
from tests.support.ledger_homes import NUMBERS, accepted
from tests.support.reasons import why


@pytest.mark.parametrize(("is_sent_now", "sent"), [(True, 1), (False, 0)])
def test_an_accepted_one(is_sent_now: bool, sent: int) -> None:
    taken = snapshot_of_one(Outcome.ACCEPTED, None, accepted(NUMBERS[0]), is_sent_now=is_sent_now)
    assert (taken["rows"], taken["total"], taken["sent_this_try"], taken["segments"]) == (1, 1, sent, sent)
    assert {name: count for name, count in taken["counts"].items() if count} == {"accepted": 1}
    assert taken["reasons"] == []
    assert taken.keys() == snapshot(CampaignReport()).keys()
    assert NUMBERS[0] not in json.dumps(taken)


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.UNKNOWN, Outcome.INVALID, Outcome.NOT_SENT])
def test_one_that_was_not(outcome: Outcome) -> None:
    taken = snapshot_of_one(outcome, why(f"{NUMBERS[0]} is no", ReasonCode.HTTP_REJECTED), None, is_sent_now=False)
    assert {name: count for name, count in taken["counts"].items() if count} == {str(outcome): 1}
    (reason,) = taken["reasons"]
    assert (reason["outcome"], reason["code"], reason["count"], reason["first"]) == (outcome, "http_rejected", 1, [1])
    assert NUMBERS[0] not in json.dumps(taken)
