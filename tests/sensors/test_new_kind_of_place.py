"""A new kind of place is one file and one line of the registry; what it cannot do, everybody is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.tasks import places
from tests.support.airflow_harness import run_task
from tests.support.batch_tasks import batch, counts, people
from tests.support.delivery_tasks import counts as delivered
from tests.support.delivery_tasks import run_through, sensor
from tests.support.lines_place import BareLines, Lines, kind_of, read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.lines"


def register(monkeypatch: pytest.MonkeyPatch, made: type[BareLines]) -> None:
    monkeypatch.setattr(places, "KINDS", {made.kind: kind_of(made), **places.KINDS})


def sent(path: Path, ledger: dict[str, str]) -> dict[str, Any]:
    run = run_task(batch(people(5), results_path=str(path), **ledger))
    assert counts(run) == {"accepted": 5}
    return dict(run.xcom["return_value"])


def test_it_is_written_described_and_followed(vendor, ledger, path, monkeypatch):
    vendor()
    register(monkeypatch, Lines)
    manifest = sent(path, ledger)
    assert (manifest["results"], manifest["rows_in"]) == (str(path), {"kind": "lines", "path": str(path)})
    assert [row["row"] for row in read(path)] == [1, 2, 3, 4, 5]
    for _ in range(2):  # what is final stays so
        run = run_through(sensor(manifest))
        assert run.succeeded, run.error
        assert delivered(run) == {"delivered": 5}


def test_a_later_try_knows_what_it_holds(vendor, ledger, path, monkeypatch):
    sandbox = vendor()
    register(monkeypatch, Lines)
    sent(path, ledger)
    Path(path.parent / "ledger.sqlite").unlink()
    again = run_task(batch(people(5), results_path=str(path), **ledger))
    assert again.xcom["return_value"]["sent_this_try"] == 0
    assert len(sandbox.accepted) == 5


def test_a_sensor_says_that_it_takes_no_final_statuses(vendor, ledger, path, monkeypatch):
    vendor()
    register(monkeypatch, BareLines)
    run = run_task(sensor(sent(path, ledger)))
    assert run.state == "failed"
    assert f"The rows are in {path}. A place of the kind 'lines' cannot keep final statuses" in str(run.error)


def test_a_sensor_on_a_worker_without_it_says_so(vendor, ledger, path, monkeypatch):
    vendor()
    with monkeypatch.context() as patched:
        register(patched, Lines)
        manifest = sent(path, ledger)
    run = run_task(sensor(manifest))
    assert run.state == "failed"
    assert "a place of the kind 'lines', which this worker does not know; it knows table, files, ledger" in str(
        run.error
    )
