"""
A million rows from PostgreSQL through the operator: as a dry run, and sent, with results back in a table.

Judged by the vendor's log, by the table, and by the peak of memory of the task's process beside that with 10,000 rows.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.airflow_versions import needs_store
from tests.support.sql_servers import Target, postgresql
from tests.support.tries import Plan, Starter, starter
from tests.support.vendor import Vendor, vendor

pytestmark = [
    needs_store,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it"),
]

FEW, MILLION = 10_000, 1_000_000
# At some 2,000 a second, a million takes ten minutes of a machine with nothing else to do.
SENT = int(os.environ.get("PROOF_MILLION_SENT", "200000"))
OPERATOR = "airflow_provider_omnichat.transfers.sql_to_omnichat:SqlToOmnichatInviteOperator"


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Target]:
    with postgresql() as options:
        target = Target("postgresql", "psycopg", options)
        target.run("CREATE TABLE customers (id INTEGER PRIMARY KEY, mobile TEXT, first_name TEXT, note TEXT)")
        target.run(
            "INSERT INTO customers SELECT i, '+' || (41790000000 + i), 'P' || i, repeat('x', 200)"
            f" FROM generate_series(0, {MILLION - 1}) i"
        )
        yield target


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    with starter(tmp_path_factory.mktemp("airflow")) as made:
        yield made


def run(tries: Starter, home: Path, warehouse: Target, sandbox: Vendor, count: int, **given: Any) -> dict[str, Any]:
    """Run one task over so many rows; give what it ended with, and the seconds it took."""
    folder = home / f"{count}"
    folder.mkdir(parents=True)
    fields = {"host": warehouse.options["host"], "login": "owner", "schema": "postgres"}
    environment = {
        "AIRFLOW_CONN_OMNICHAT_DEFAULT": sandbox.connection(),
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "postgres", **fields}),
    }
    arguments = {
        "sql": "SELECT * FROM customers WHERE id < %(count)s ORDER BY id",
        "parameters": {"count": count},
        "conn_id": "warehouse",
        "message": "Hello {first_name}, follow us at <link>",
        "to_column": "mobile",
        "key_column": "id",
        **given,
    }
    began = time.monotonic()
    ended = tries.start(Plan(str(folder), arguments, environment, operator=OPERATOR)).wait(3000)
    assert ended["state"] == "success", ended["error"]
    assert ended["manifest"]["rows"] == count
    return {**ended, "seconds": time.monotonic() - began, "rows": count}


# The peak of two equal runs differs by so much: how far a garbage collection and a commit happened to be apart.
NOISE_BYTES = 8 * 2**20


def growth(capsys: Any, what: str, few: dict[str, Any], many: dict[str, Any]) -> float:
    """Print the figures; return by how many bytes a row the peak grew, beyond chance."""
    rows: int = many["rows"] - few["rows"]
    grown: float = (many["peak_mib"] - few["peak_mib"]) * 2**20 / rows
    with capsys.disabled():
        for one in (few, many):
            rate = one["rows"] / one["seconds"]
            print(f"\n{what}: {one['rows']:,} rows in {one['seconds']:.0f} s ({rate:,.0f}/s), ", end="")
            print(f"peak {one['peak_mib']:.0f} MiB", end="")
        print(f"; {grown:.0f} bytes a row")
    return grown - NOISE_BYTES / float(rows)


@pytest.mark.proof
def test_a_dry_run_over_a_million_rows(warehouse: Target, tries: Starter, tmp_path: Path, capsys: Any) -> None:
    with vendor(tmp_path / "vendor") as sandbox:
        ends = [run(tries, tmp_path, warehouse, sandbox, count, dry_run=True) for count in (FEW, MILLION)]
        assert sandbox.requests == 0
    assert ends[1]["manifest"]["counts"]["not_sent"] == MILLION
    assert growth(capsys, "dry run", *ends) < 30, "beyond the small hash by which a number is known again"


@pytest.mark.parametrize(
    "many", [pytest.param(30_000, marks=pytest.mark.slow), pytest.param(SENT, marks=pytest.mark.proof)]
)
def test_sending_with_results_in_the_warehouse(
    warehouse: Target, tries: Starter, tmp_path: Path, capsys: Any, many: int
) -> None:
    ends = []
    for count in (FEW, many):
        with vendor(tmp_path / f"vendor {count}", "--keep", "100") as sandbox:
            ends.append(run(tries, tmp_path, warehouse, sandbox, count, results_table=f"invited_{count}"))
            accepted = sandbox.accepted()
        assert len(accepted) == count
        assert max(accepted.values()) == 1
        rows = warehouse.run(
            f"SELECT count(*), count(DISTINCT recipient), min(outcome), max(outcome) FROM invited_{count}"
        )
        assert rows == [(count, count, "accepted", "accepted")]
        assert warehouse.run(f"SELECT count(DISTINCT row_key) FROM invited_{count}") == [(count,)]
    assert growth(capsys, "sent", *ends) < 200


@pytest.mark.proof
def test_reading_alone_takes_no_memory_a_row(warehouse: Target, tmp_path: Path, capsys: Any) -> None:
    """Query and spool without gate and sender: what this operator adds to the batch operator."""
    import subprocess
    import sys

    program = """
import resource, sys, time
from airflow_provider_omnichat.campaign.model.rows import Row
from airflow_provider_omnichat.campaign.rows.spool import Spool
from airflow_provider_omnichat.hooks.sql_rows import rows_of_query
began = time.monotonic()
rows = rows_of_query("warehouse", "SELECT * FROM customers WHERE id < %s", [int(sys.argv[1])])
with Spool((Row(n, row) for n, row in enumerate(rows, 1)), needs=["id", "mobile", "first_name"]) as spool:
    drained = time.monotonic() - began
    assert sum(1 for _ in spool) == len(spool) == int(sys.argv[1])
    print(f"{drained:.1f} {time.monotonic() - began - drained:.1f}", end=" ")
(line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(line.split()[1]) / 1024)
"""
    fields = {"conn_type": "postgres", "host": warehouse.options["host"], "login": "owner", "schema": "postgres"}
    environment = {**os.environ, "AIRFLOW_CONN_WAREHOUSE": json.dumps(fields), "TMPDIR": str(tmp_path)}
    peaks = []
    for count in (FEW, MILLION):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, str(count)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        drained, read, peak = map(float, done.stdout.split()[-3:])
        peaks.append(peak)
        with capsys.disabled():
            print(f"\n{count:,} rows set aside in {drained} s, read again in {read} s, peak {peak:.0f} MiB", end="")
    assert peaks[1] - peaks[0] < 5
