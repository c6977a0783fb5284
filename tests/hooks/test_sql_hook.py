"""What Airflow itself says of a connection is told: to whoever corrects it, the driver's silence is no help."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_harness import run_task

LIST = [{"to": "+41793026727"}]
COMMON: dict[str, Any] = {"task_id": "invite", "message": "Hi <link>", "retry_budget": 0, "ledger_patience": 0}


def transfer(**given: Any) -> SqlToOmnichatInviteOperator:
    return SqlToOmnichatInviteOperator(**{**COMMON, "sql": "SELECT '+41793026727' AS \"to\"", **given})


USES: dict[str, Any] = {
    "query": lambda: transfer(conn_id="broken"),
    "opt-outs": lambda: SendInviteBatchOperator(
        **COMMON, invites=LIST, suppression={"conn_id": "broken", "sql": "SELECT 1"}
    ),
    "ledger": lambda: SendInviteBatchOperator(**COMMON, invites=LIST, ledger_conn_id="broken"),
    "results": lambda: transfer(conn_id="ledger", results_table="results", results_conn_id="broken"),
}


@pytest.mark.parametrize("use", USES)
def test_airflows_own_reason_is_told(at_sandbox, ledger, monkeypatch, use):
    pytest.importorskip("airflow.providers.postgres.hooks.postgres")
    made = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "extra": {"cursor": "realdict"}}
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", json.dumps(made))
    run = run_task(USES[use]())
    assert "Airflow refuses connection 'broken' (ValueError: Invalid cursor passed realdict. Valid" in str(run.error)
    assert "the database is up" not in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_what_a_driver_says_is_not_told(at_sandbox, monkeypatch):
    pytest.importorskip("airflow.providers.postgres.hooks.postgres")
    made = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "me"}
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", json.dumps(made))
    run = run_task(transfer(conn_id="broken"))
    assert "Connection 'broken' cannot be reached (OperationalError); nothing was sent" in str(run.error)
