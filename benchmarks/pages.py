"""What the tab *Invites* costs Airflow's API server with a million rows, beside Airflow's own page of XComs."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.files import ResultFiles
from airflow_provider_omnichat.sandbox import Sandbox
from benchmarks.airflow_home import BenchmarkAirflow

_BLOCK = 10_000
_ASKED = 7


class PageCost(NamedTuple):
    """
    What one page costs.

    :param name: of the page.
    :param seconds: until it was read, the median.
    :param more: MiB by which the server's peak rose meanwhile.
    """

    name: str
    seconds: float
    more: float


def measure_pages(rows: int) -> list[PageCost]:
    """Send one invite for real, put so many rows into its results, and ask for pages."""
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        airflow = BenchmarkAirflow(Path(folder) / "airflow")
        results = Path(folder) / "results"
        airflow.environment["OMNICHAT_BENCHMARK_RESULTS"] = str(results)
        airflow.migrate({"omnichat_default": json.loads(sandbox.airflow_connection)})
        done = airflow.cli("dags", "test", "pages")
        if done.returncode:
            raise RuntimeError(done.stdout[-2000:])
        ((run_id,),) = airflow.query("SELECT run_id FROM dag_run WHERE dag_id = 'pages'")
        _fill(next(results.glob("pages/*/invite")), rows)
        airflow.start_api_server()
        try:
            airflow.wait_until(lambda: _is_up(airflow), "the API server is up")
            return _asked(airflow, run_id)
        finally:
            airflow.stop()


def _asked(airflow: BenchmarkAirflow, run_id: str) -> list[PageCost]:
    pid = airflow.api_server_pid
    of = {"dag_id": "pages", "run_id": run_id, "task_id": "invite", "map_index": -1}
    tab = f"/omnichat/task?{urlencode(of)}"
    xcoms = f"/api/v2/dags/pages/dagRuns/{run_id.replace('+', '%2B')}/taskInstances/invite/xcomEntries"
    pages = {
        "Airflow's own: the XComs of the task": xcoms,
        "the tab: first rows": tab,
        "the tab: those in doubt": f"{tab}&outcome=unknown",
        "the tab: one key of all": f"{tab}&q=C-77",
        "the tab: the part that renews itself": f"{tab}&part=live",
    }
    for address in pages.values():
        airflow_page(airflow, address)  # what is loaded once is not counted
    return [_cost(name, partial(airflow_page, airflow, address), pid) for name, address in pages.items()]


def _cost(name: str, ask: Callable[[], None], pid: int) -> PageCost:
    before, seconds = _peak(pid), []
    for _ in range(_ASKED):
        began = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - began)
    return PageCost(name, median(seconds), _peak(pid) - before)


def airflow_page(airflow: BenchmarkAirflow, address: str) -> None:
    """Read a page to its end."""
    with urlopen(airflow.request("GET", address), timeout=120) as answer:
        answer.read()


def _is_up(airflow: BenchmarkAirflow) -> bool:
    try:
        return airflow.log_in()
    except OSError:
        return False


def _peak(pid: int) -> float:
    """Give the most memory that a process and its children have held, in MiB."""
    peak = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if status.parent.name == str(pid) or re.search(rf"^PPid:\s+{pid}$", text, re.M):
            found = re.search(r"^VmHWM:\s+(\d+)", text, re.M)
            peak += int(found[1]) if found else 0
    return peak / 1024


def _fill(folder: Path, rows: int) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    files = ResultFiles(
        folder, format="jsonl", try_number=1, recipient_of=lambda to: recipient_key("pages", to), key_column="id"
    )

    def results() -> Iterator[tuple[str | None, Result]]:
        for i in range(rows):
            outcome = Outcome.UNKNOWN if i % 10_000 == 0 else Outcome.ACCEPTED
            yield (
                None,
                Result(i + 1, f"C-{i}", f"4179{i:07}", outcome, at, f"{i:032x}-0000", 7, 1, "PENDING_ENROUTE", 1, 1),
            )

    block = []
    for result in results():
        block.append(result)
        if len(block) == _BLOCK:
            files.write(block)
            block = []
    files.write(block)
    files.close(whole=False)
