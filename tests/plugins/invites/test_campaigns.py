"""The lines of the page of campaigns: all instances of a mapped task are one of them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_provider_omnichat.plugins.invites import pages
from airflow_provider_omnichat.plugins.invites.campaigns import CampaignsWanted, campaigns_csv, chosen_campaigns
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
    assert (
        '<a href="../dags/dag/runs/run%2B1/plugin/run-invites" data-airflow title="dag/run+1/send">dag/run+1/send</a>'
        in page
    )
    assert "../dags/dag/runs/run%2B1/tasks/send/mapped" in page


def test_one_instance_leads_to_its_own_tab() -> None:
    page = line_of(instance(-1, "success", "welcome"))
    assert (
        '<a href="../dags/dag/runs/run%2B1/tasks/send/plugin/invites" data-airflow title="welcome">welcome</a>' in page
    )


def task_of(campaign: str, run_id: str, state: str = "success", is_over: bool = True, **counts: int) -> SendingTask:
    day = int(run_id[-1])
    given = {"campaign": campaign, "rows": sum(counts.values()), "counts": counts, "is_over": is_over}
    progress = TaskProgress.model_validate({**given, "at": f"2026-11-0{day}T08:00:00Z"})
    return SendingTask(f"dag_{campaign}", run_id, "send", -1, state, 1, None, None, progress, {})


TASKS = [
    task_of("welcome", "run_1", accepted=4),
    task_of("welcome", "run_2", unknown=1, accepted=2),
    task_of("spring", "run_3", accepted=9),
    task_of("autumn", "run_4", "failed", is_over=False, accepted=1),
    task_of("winter", "run_5", "running", accepted=2),
]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, ["autumn", "welcome", "winter", "spring"]),
        ({"sort": "newest"}, ["winter", "autumn", "spring", "welcome"]),
        ({"sort": "name"}, ["autumn", "spring", "welcome", "winter"]),
        ({"sort": "rows"}, ["spring", "welcome", "winter", "autumn"]),
        ({"show": "due"}, ["autumn", "welcome"]),
        ({"show": "working"}, ["winter"]),
        ({"show": "done", "sort": "name"}, ["spring", "welcome"]),
        ({"q": " DAG_W", "sort": "name"}, ["welcome", "winter"]),
        ({"q": "not there"}, []),
    ],
)
def test_campaigns_are_chosen_and_sorted_those_with_doubts_or_a_dead_worker_first(
    wanted: dict[str, Any], names: list[str]
) -> None:
    assert [each.name for each in chosen_campaigns(TASKS, CampaignsWanted(**wanted))] == names


def test_a_campaign_over_several_runs_is_one_entry_with_each_run_below() -> None:
    page = line_of(*TASKS[:2])
    assert page.count("<b>welcome</b>") == 1
    assert "2 runs or tasks" in page
    assert page.index("run_2</a>") < page.index("run_1</a>")
    assert "6 accepted" in page


def test_the_csv_has_a_line_for_each_run() -> None:
    lines = list(campaigns_csv(TASKS, CampaignsWanted(q="welcome")))
    assert [line.split(",")[:4] for line in lines[1:]] == [
        ["welcome", "dag_welcome", "run_2", "send"],
        ["welcome", "dag_welcome", "run_1", "send"],
    ]
