"""A campaign out of a warehouse and back into it: all rules together on PostgreSQL, over rests, retries and kills."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_omnichat.campaign.preview.budget import Budget
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_harness import START, run_task
from tests.support.airflow_versions import needs_runner
from tests.support.batch_tasks import counts, number
from tests.support.send_windows import DAY, NIGHT, window
from tests.support.sql_connections import CONN_ID, Database, connected

MESSAGE = "Hello {first_name}, follow us at <link>"
COLUMNS = "id mobile country zone first_name signed_up"


def person(index: int, zone: str = DAY, mobile: str | None = None) -> tuple[str, ...]:
    return (f"c-{index:05}", mobile or f"0{number(index)[2:]}", "CH", zone, f"P{index}", "2026-11-01")


SKIPS = window(on_closed="skip")


def arguments(**given: Any) -> dict[str, Any]:
    """Those of a campaign with every rule that there is."""
    return {
        "task_id": "invite",
        "conn_id": CONN_ID,
        "sql": f"SELECT {', '.join(COLUMNS.split())} FROM people ORDER BY id",
        "message": MESSAGE,
        "to_column": "mobile",
        "region_column": "country",
        "key_column": "id",
        "campaign": "spring",
        "ledger_conn_id": CONN_ID,
        "max_per_recipient": (2, "7d"),
        "suppression": {"conn_id": CONN_ID, "sql": "SELECT phone FROM opt_outs"},
        "send_window": window(),
        "budget": Budget(max_invites=100, max_segments=200, price_per_segment=0.1, max_cost=20),
        "results_table": "invited",
        "retry_budget": 1.0,
        "concurrency": 4,
        **given,
    }


def campaign(**given: Any) -> Any:
    return SqlToOmnichatInviteOperator(**arguments(**given))


@pytest.fixture(params=["psycopg2", "psycopg"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Database:
    made = connected(request.param, request, tmp_path, monkeypatch)
    for table in ("invited", "omnichat_invites"):
        made.run(f"DROP TABLE IF EXISTS {table}")
    made.fill("opt_outs", "phone", [(f"+{number(3)}",), (None,), (f"+{number(77)}",)])
    made.fill("people", COLUMNS, [person(i, NIGHT if i >= 8 else DAY) for i in range(10)])
    return made


def results(database: Database, batch: str = "%") -> dict[str, str]:
    """Outcome by key; each key once."""
    found = database.run("SELECT row_key, outcome FROM invited WHERE batch LIKE ?", batch)
    assert len(found) == len(dict(found)), "each row once"
    return dict(found)


def wake(database: Database) -> None:
    database.run("UPDATE people SET zone = ?", DAY)


def test_all_rules_together_over_a_rest(warehouse, at_sandbox):
    for name in ("one", "two"):
        earlier = run_task(campaign(task_id=name, campaign=name, sql="SELECT * FROM people WHERE id = 'c-00001'"))
        assert counts(earlier) == {"accepted": 1}
    warehouse.run("DROP TABLE invited")
    first = run_task(campaign())
    assert first.state == "deferred", first.error
    assert counts(first) == {"accepted": 6, "suppressed": 2, "held": 2}
    before = results(warehouse)
    assert Counter(before.values()) == counts(first)
    assert (before["c-00001"], before["c-00003"]) == ("suppressed", "suppressed")
    wake(warehouse)
    last = run_task(campaign(), resume=first.deferral)
    assert last.succeeded, last.error
    assert counts(last) == {"accepted": 8, "suppressed": 2}
    after = results(warehouse)
    assert Counter(after.values()) == counts(last)
    assert max(Counter(sms.to for sms in at_sandbox.accepted if sms.to != number(1)).values()) == 1


def test_the_approved_list_is_the_one_that_goes_on_after_a_rest(warehouse, at_sandbox):
    preview = run_task(campaign(dry_run=True))
    assert preview.succeeded, preview.error
    assert counts(preview) == {"not_sent": 7, "suppressed": 1, "held": 2}
    approved = preview.xcom["fingerprint"]
    first = run_task(campaign(approved=approved))
    assert first.state == "deferred", first.error
    wake(warehouse)
    warehouse.run("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)", *person(50))
    other = run_task(campaign(approved=approved), resume=first.deferral)
    assert other.state == "failed"
    assert "Nothing was sent this time. approved: this is not the list that was approved" in str(other.error)
    warehouse.run("DELETE FROM people WHERE id = 'c-00050'")
    warehouse.run("INSERT INTO opt_outs VALUES (?)", f"+{number(9)}")
    last = run_task(campaign(approved=approved), resume=first.deferral)
    assert last.succeeded, last.error
    assert counts(last) == {"accepted": 8, "suppressed": 2}
    assert Counter(results(warehouse).values()) == counts(last)


def test_parts_share_a_list_and_a_table(warehouse, at_sandbox):
    runs = [run_task(campaign(task_id=f"part_{i}", partition=[i, 3], send_window=SKIPS)) for i in range(3)]
    assert all(run.succeeded for run in runs), [run.error for run in runs]
    assert sum((Counter(counts(run)) for run in runs), Counter()) == {"accepted": 7, "suppressed": 1, "held": 2}
    found = results(warehouse)
    assert len(found) == 10
    for i, run in enumerate(runs):
        assert Counter(results(warehouse, f"%/part_{i}@spring").values()) == counts(run)


@needs_runner
@pytest.mark.parametrize(
    ("over", "found"),
    [
        ({"partition": [[0, 2], [1, 2]]}, {"accepted": 7, "suppressed": 1, "held": 2}),
        ({"parameters": [["c-00002"], ["c-00008"]]}, {"accepted": 1, "held": 1}),
        ({"parameters": [{"id": "c-00002"}, {"id": "c-00008"}]}, {"accepted": 1, "held": 1}),
    ],
)
def test_it_can_be_mapped(warehouse, at_sandbox, over, found):
    mark = "%(id)s" if "id" in over.get("parameters", [""])[0] else "%s"
    sql = f"SELECT * FROM people WHERE id = {mark}" if "parameters" in over else "SELECT * FROM people"
    with DAG("mapped", schedule=None, start_date=START):
        mapped = SqlToOmnichatInviteOperator.partial(**arguments(sql=sql, send_window=SKIPS)).expand(**over)
    counted: Counter[str] = Counter()
    for index in (0, 1):
        run = run_task(mapped, map_index=index)
        assert run.succeeded, run.error
        counted += Counter(counts(run))
        assert Counter(results(warehouse, f"mapped/run-1/invite/{index}@spring").values()) == counts(run)
        assert run.rendered["parameters"] in (None, "<list of 1 values>", "<dict of 1 values>")
    assert counted == found


@pytest.mark.parametrize("kind", ["BIGINT", "NUMERIC", "NUMERIC(20, 2)"])
def test_numbers_can_be_numbers(warehouse, at_sandbox, kind):
    sql = f"SELECT id, substr(mobile, 2)::{kind} AS mobile, country, zone, first_name FROM people"
    warehouse.run(f"ALTER TABLE opt_outs ALTER phone TYPE {kind} USING phone::{kind}")
    run = run_task(campaign(sql=sql, send_window=SKIPS))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 7, "suppressed": 1, "held": 2}


def test_a_query_as_people_write_them(warehouse, at_sandbox):
    """Comments with semicolons and percent signs, a cast, dates as parameters, a semicolon at the end."""
    sql = """-- 100%% of them; really
    SELECT * FROM people /* ; */ WHERE signed_up::date >= %(since)s AND id LIKE 'c-%%' AND ';' <> id ;
    -- the end;
    """
    run = run_task(campaign(sql=sql, parameters={"since": date(2026, 10, 1)}, send_window=SKIPS))
    assert run.succeeded, run.error
    plain = sql.replace("%%", "%").replace("%(since)s", "'2026-10-01'")
    again = run_task(campaign(task_id="again", sql=plain, send_window=SKIPS))
    assert again.succeeded, again.error
    assert counts(run)["held"] == counts(again)["held"] == 2


def test_a_ledger_table_whose_name_is_none_is_told_of_once(warehouse, at_sandbox):
    run = run_task(campaign(ledger_table="x; DROP TABLE people", retries=2), retries=2)
    assert run.state == "failed"
    assert "Nothing was sent. " in str(run.error)


def test_the_query_of_the_opt_outs_can_stand_in_a_file_too(warehouse, at_sandbox, tmp_path):
    (tmp_path / "out.sql").write_text("SELECT phone FROM {{ 'opt_outs' }};")
    (tmp_path / "who.sql").write_text("SELECT * FROM people;")
    with DAG("files", schedule=None, start_date=START, template_searchpath=str(tmp_path)):
        task = campaign(sql="who.sql", suppression={"conn_id": CONN_ID, "sql": "out.sql"}, send_window=SKIPS)
    task.resolve_template_files()
    run = run_task(task)
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 7, "suppressed": 1, "held": 2}
