"""Each batch has a folder of its own: no other's rows are taken for its own, whatever their names have in common."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_omnichat.campaign.results.directory import ResultFileError, take_directory
from airflow_provider_omnichat.tasks.places import folder_names
from tests.support.airflow_harness import START, run_task
from tests.support.airflow_versions import needs_store
from tests.support.batch_tasks import batch, counts, people
from tests.support.delivery_tasks import sensor

ALIKE = [
    "третий раз",
    "второй раз",
    "05:2026",
    "05/2026",
    "05_2026",
    "a b",
    "a_b",
    "a..",
    "a",
    "..",
    "",
    "日報",
    "月報",
]


def in_dag(name: str, **given: Any) -> Any:
    with DAG(name, schedule=None, start_date=START):
        return batch(people(3), **given)


@needs_store
@pytest.mark.parametrize("names", [("третий раз", "второй раз"), ("05:2026", "05/2026"), ("a b", "a_b"), ("a", "a.")])
def test_everybody_is_invited_under_each_resend_key(at_sandbox, tmp_path, names):
    for key in names:
        run = run_task(batch(people(3), resend_key=key, results_path=str(tmp_path)))
        assert (counts(run), run.xcom["return_value"]["sent_this_try"]) == ({"accepted": 3}, 3)
    assert len(at_sandbox.accepted) == 6


@needs_store
def test_everybody_is_invited_by_dags_with_names_of_other_letters(at_sandbox, tmp_path):
    for dag in ("日報", "月報"):
        assert counts(run_task(in_dag(dag, results_path=str(tmp_path)))) == {"accepted": 3}
    assert len(at_sandbox.accepted) == 6


def test_no_two_names_become_one():
    found = {tuple(folder_names("dag/run/task", key)) for key in ALIKE}
    assert len(found) == len(ALIKE)
    assert len({tuple(folder_names(f"{key}/run/task", "")) for key in ALIKE if "/" not in key and key}) == 11
    assert len({tuple(folder_names("d/r/t", "x" * length)) for length in (300, 301)}) == 2


@pytest.mark.parametrize("key", [*ALIKE, "delivery", "0", "x" * 400, "\ud83d"])
def test_each_name_is_one_of_a_folder_that_every_storage_takes(key):
    for name in folder_names("dag/scheduled__2026-05-01T00:00:00+00:00/task/0", key):
        assert re.fullmatch(r"[A-Za-z0-9._=+~-]{1,200}", name), name
        assert name.strip(".") == name
    assert folder_names("dag/manual__1/task", "again") == ["dag", "manual__1", "task", "resend=again"]


def test_a_folder_shows_as_it_is(tmp_path):
    from airflow_provider_omnichat.campaign.results.directory import shown

    for index in range(200):
        (name,) = folder_names(f"день {index}", "")
        assert shown(tmp_path / name).endswith(name), "nothing in it is taken for a number"


@needs_store
def test_the_files_of_a_resend_key_are_not_the_final_statuses_of_the_first_time(at_sandbox, tmp_path):
    for key in ("delivery", ""):
        run = run_task(batch(people(3), resend_key=key, results_path=str(tmp_path)))
    looked = run_task(sensor(run.xcom["return_value"], deferrable=False, timeout=0, on_timeout="succeed"))
    assert looked.succeeded, looked.error


@needs_store
def test_a_folder_of_another_batch_is_refused_before_anything_is_sent(at_sandbox, tmp_path):
    run = run_task(batch(people(3), results_path=str(tmp_path)))
    home = Path(run.xcom["return_value"]["results"])
    # As on a file system that does not tell capitals apart.
    home.parent.parent.rename(tmp_path / "Invites")
    refused = run_task(in_dag("Invites", results_path=str(tmp_path)))
    assert not refused.succeeded
    assert "invites/run-1/invite" in str(refused.error)
    assert "nothing was sent" in str(refused.error)
    assert len(at_sandbox.accepted) == 3


@needs_store
def test_rows_of_another_campaign_are_not_taken_for_those_of_this_one(at_sandbox, ledger, tmp_path):
    given = {"results_path": str(tmp_path / "results"), **ledger}
    assert counts(run_task(batch(people(3), campaign="spring", **given))) == {"accepted": 3}
    other = run_task(batch(people(3), campaign="summer", **given))
    assert not other.succeeded
    assert "invites/run-1/invite@spring" in str(other.error)
    assert counts(run_task(batch(people(3), campaign="spring", **given))) == {"accepted": 3}
    assert len(at_sandbox.accepted) == 3


def test_a_campaign_is_not_another_one_with_a_resend_key(at_sandbox, ledger):
    refused = run_task(batch(people(1), campaign="welcome#2", retries=3, **ledger), retries=3)
    assert refused.state == "failed"
    assert "campaign='welcome#2' has a # in it" in str(refused.error)
    assert not at_sandbox.accepted


def test_the_owner_is_written_for_its_user_alone_and_a_torn_one_is_no_other(tmp_path):
    take_directory(tmp_path / "results", "dag/run/задача")
    (file,) = (tmp_path / "results").iterdir()
    assert json.loads(file.read_text()) == {"owner": "dag/run/задача"}
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ResultFileError, match="holds the result rows of dag/run/задача, and not of dag/run/other"):
        take_directory(tmp_path / "results", "dag/run/other")
    file.write_text('{"own')
    take_directory(tmp_path / "results", "dag/run/задача")
