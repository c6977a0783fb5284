"""
What README and docs tell people to write works: each Python, JSON and connection snippet is run.

Those that define a DAG run in tests/airflow_runs.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.sandbox import Sandbox, Settings
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import AIRFLOW, HAS_STATE_STORE
from tests.support.delivery_tasks import woken
from tests.support.folders import ROOT
from tests.support.snippets import PAGES, snippets

EXPORT = re.compile(r"^export AIRFLOW_CONN_\w+=(?:'[^']*'|\"[^\"]*\")", re.MULTILINE)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One that delivers at once."""
    with Sandbox(seed=1, settings=Settings(delivery_after=(0.0, 0.0))) as server:
        yield server


def connections() -> list[Any]:
    return [
        pytest.param(export, id=f"{block.id}-{number}")
        for block in snippets("bash")
        for number, export in enumerate(EXPORT.findall(block.values[0]))
    ]


@pytest.mark.parametrize(
    "code", [each for each in snippets("python") if not re.search("@dag|Notifier", each.values[0])]
)
def test_python_snippet_runs_and_all_that_it_sends_is_taken(
    code: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from airflow.providers.common.compat.sdk import BaseOperator

    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", sandbox.airflow_connection)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", warehouse(tmp_path / "warehouse.db"))
    if "with DAG(" in code and AIRFLOW < (3, 0):
        pytest.skip("its tasks hand results on, and Airflow 2 has no task runner of its own")
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(code.replace("/tmp/invites", str(tmp_path)), "snippet", "exec"), names)
    given: dict[str, Any] = {}
    for task in names.values():
        if isinstance(task, BaseOperator):
            run = run_task(task, upstream=given)
            if run.deferral is not None and "Sensor" in code:
                run = run_task(task, upstream=given, resume=woken(run.deferral))
            given[task.task_id] = run.xcom.get("return_value")
            if not HAS_STATE_STORE and "send_window" in code and "ledger_conn_id" not in code:
                assert "Give ledger_conn_id" in str(run.error)  # as the page says
                continue
            # Whether people are awake depends on when this test is run.
            assert run.succeeded or (run.state == "deferred" and "send_window" in code), run.error
    if "invite" in names:
        assert names["invite"]("+41 79 302 67 27")[1] == "PENDING_ENROUTE"
    assert sandbox.totals.requests == sandbox.totals.accepted
    assert sandbox.totals.accepted or "Sandbox" in code or "send_window" in code


def test_what_the_page_on_your_own_link_says_to_try_is_so(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "how-to" / "own-link.md").read_text()
    (code,) = (each.values[0] for each in snippets("python") if "own-link" in str(each.id))
    (extra,) = re.findall(r"replace `extra` by `(\{.*?\})`", page)
    (script,) = re.findall(r"-d '(\{\"script\".*?)'$", page, re.MULTILINE)
    (options,) = re.findall(r"^    omnichat-sandbox (--repeated-ids late) --delivery-after 1-2$", page, re.MULTILINE)
    outboxes = []
    for repeated_ids in (options.rpartition(" ")[2], "ignored"):
        settings = Settings(repeated_ids=repeated_ids, delivery_after=(0.0, 0.0))
        with Sandbox(seed=1, settings=settings) as sandbox:
            given = {**json.loads(sandbox.airflow_connection), "extra": json.loads(extra)}
            monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", json.dumps(given))
            sandbox.script(*json.loads(script)["script"])
            names: dict[str, Any] = {}
            exec(compile(code, "snippet", "exec"), names)
            run = run_task(names["welcome"])
            outboxes.append((run.succeeded, [(sms.accepted, sms.suppressed) for sms in sandbox.outbox]))
            assert {sms.sender for sms in sandbox.outbox} == {"ACME"}
            assert {sms.text.rpartition("=")[2] for sms in sandbox.outbox} == {"c-1"}
    assert outboxes == [(True, [(True, False), (False, True)]), (False, [(True, False), (True, False)])]


def warehouse(path: Path) -> str:
    """A database with the tables that the pages speak of; give the connection to it."""
    with closing(sqlite3.connect(path)) as database:
        columns = "customer_id TEXT, mobile TEXT, first_name TEXT, signed_up TEXT, segment TEXT"
        database.execute(f"CREATE TABLE customers ({columns})")
        database.execute("CREATE TABLE opt_outs (phone TEXT)")
        database.execute("INSERT INTO customers VALUES ('c-1', '+41793026727', 'Ada', '2026-11-23', 'spring')")
        database.commit()
    return json.dumps({"conn_type": "sqlite", "host": str(path)})


@pytest.mark.parametrize("text", snippets("json"))
def test_json_snippet_is_json(text: str) -> None:
    assert json.loads(text)


@pytest.mark.parametrize("export", connections())
def test_connection_snippet_gives_an_account(export: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_omnichat.hooks.omnichat import OmnichatHook

    shown = subprocess.run(["bash", "-c", f"{export}\nenv -0"], capture_output=True, text=True, check=True, env={})
    monkeypatch.setenv(
        *next(pair for pair in map(split, shown.stdout.split("\0")) if pair[0].startswith("AIRFLOW_CONN"))
    )
    account = OmnichatHook().account
    assert account.base_url == "https://xxxxx.api.infobip.com"
    route = (account.application_key, account.integration_type, account.sender)
    omni = ("0F3C3F29829FAB88714BA205BEC6D28F", "FACEBOOK", None)
    assert route == ((None, None, "ACME") if "sender" in export else omni)


def split(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    return name, value


def test_every_make_target_that_is_told_of_exists() -> None:
    told = {target for page in PAGES for target in re.findall(r"`?make ([a-z][a-z0-9.-]*)", page.read_text())}
    targets = set(re.findall(r"^([a-z][a-z0-9.-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    prose = {"sure", "it", "a", "an", "the"}
    assert told - prose <= targets | {"matrix-2.11"}
