"""The lines of the page of campaigns: all instances of a mapped task are one of them."""

from __future__ import annotations

import re

import pytest

from airflow_provider_omnichat.plugins.invites import pages
from airflow_provider_omnichat.plugins.invites.campaigns import CampaignsWanted
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask, TaskProgress


def instance(map_index: int, state: str, campaign: str) -> SendingTask:
    progress = TaskProgress.model_validate({"campaign": campaign, "rows": 1, "counts": {"accepted": 1}})
    return SendingTask("dag", "run+1", "send", map_index, state, 1, None, None, progress, {})


def line_of(*tasks: SendingTask) -> str:
    return bytes(pages.campaigns(tasks, CampaignsWanted(), "live", are_more=False).body).decode()


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        (("failed", "success", "success"), "failed"),
        (("success", "success", "failed"), "failed"),
        (("success", "running", "failed"), "sending"),
        (("success", "success", "success"), "done"),
    ],
)
def test_the_state_is_of_the_instance_that_somebody_has_to_look_at(states: tuple[str, ...], shown: str) -> None:
    page = line_of(*(instance(at, state, "dag/run+1/send") for at, state in enumerate(states)))
    assert re.findall(r'<span class="label is-[a-z]+">(\w+)</span>', page) == [shown]


def test_the_campaign_is_named_without_an_instance_and_leads_to_the_tab_of_the_run() -> None:
    page = line_of(*(instance(at, "success", "dag/run+1/send") for at in range(3)))
    assert '<a href="../dags/dag/runs/run%2B1/plugin/run-invites" data-airflow>dag/run+1/send</a>' in page
    assert "../dags/dag/runs/run%2B1/tasks/send/mapped" in page


def test_one_instance_leads_to_its_own_tab() -> None:
    page = line_of(instance(-1, "success", "welcome"))
    assert '<a href="../dags/dag/runs/run%2B1/tasks/send/plugin/invites" data-airflow>welcome</a>' in page
