"""Rows are read where the task itself has written them: its XCom may have been edited."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.model.pages import PageError, PageQuery
from airflow_provider_omnichat.campaign.model.place import Place
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites.rows import csv_lines
from airflow_provider_omnichat.plugins.invites.sending_tasks import row_place
from airflow_provider_omnichat.tasks.places import folder_names
from tests.support.plugin_tasks import sending
from tests.support.sql_claims import CAMPAIGN, claims_of

OWN = "invites/run/invite"


@pytest.mark.parametrize(("state", "shown"), [("running", "claimed"), ("failed", "unknown"), ("queued", "unknown")])
def test_an_open_claim_is_in_doubt_once_the_task_has_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: str, shown: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}))
    ledger = SqlLedger(ledger_database("ledger"), CAMPAIGN, OWN)
    ledger.claim(claims_of(1), ())
    ledger.close()
    task = sending(campaign=CAMPAIGN, is_over=False, rendered={"ledger_conn_id": "ledger"})
    assert task is not None
    rows = row_place(replace(task, state=state))
    assert [row.outcome for row in rows.page(PageQuery()).rows] == [shown]
    found = [row["outcome"] for row in csv.DictReader(csv_lines(rows, PageQuery(outcome="unknown")))]
    assert found == ["unknown"] * (shown == "unknown")


def place(root: Path, results: str, **rendered: str) -> Place:
    task = sending(results=results, rendered={"results_path": f"{root}", **rendered})
    assert task is not None
    return row_place(task)


@pytest.mark.parametrize("resend_key", ["", "second try"])
def test_the_own_folder_is_read(tmp_path: Path, resend_key: str) -> None:
    own = tmp_path.joinpath(*folder_names(OWN, resend_key))
    own.mkdir(parents=True)
    found = place(tmp_path, str(own), resend_key=resend_key)
    assert found.location == str(own)
    assert found.page(PageQuery()) == ([], None, None)


@pytest.mark.parametrize(
    "results",
    [
        "{root}/theirs/run/invite",
        "{root}/invites/run/invite/../../../theirs/run/invite",
        "{root}/theirs/invites/run/invite",
        "{root}/../invites/run/invite",
        "{root}",
        "{root}/",
        "",
        "/invites/run/invite",
        "file://{root}/invites/run/invite",
        "http://elsewhere/invites/run/invite",
    ],
)
def test_no_other_folder_is_read(tmp_path: Path, results: str) -> None:
    for folder in ("theirs/run/invite", "theirs/invites/run/invite", "invites/run/invite", "../invites/run/invite"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    found = place(tmp_path, results.format(root=tmp_path))
    with pytest.raises(PageError, match="cannot be told from others"):
        found.page(PageQuery())
