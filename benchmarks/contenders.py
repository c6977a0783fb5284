"""The ways to send that are compared, each in a process of its own that waits while others have their turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.airflow_home import DAGS, ROOT, BenchmarkAirflow
from benchmarks.measure import Cost, read_report
from benchmarks.vendor import Vendor


@dataclass(frozen=True)
class Course:
    """
    What a run is to do.

    :param path: the CSV file.
    :param invites: in it.
    :param latency: of the server, in milliseconds.
    """

    path: Path
    invites: int
    latency: int


class Contender:
    """
    A way to send.

    :param name: for the table.
    :param home: a directory for reports and logs.
    """

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self._numbers = count(1)

    def start(self) -> None:
        """Get ready; returns at once."""

    def wait_until_ready(self) -> None:
        """Wait for what :meth:`start` began."""

    def stop(self) -> None:
        """End the process."""

    def run(self, course: Course, vendor: Vendor) -> Cost:
        """Send the list once."""
        report = self.home / f"report-{next(self._numbers)}.jsonl"
        order = {
            "list": str(course.path),
            "count": course.invites,
            "report": str(report),
            "url": vendor.url + vendor.invite_path,
            "path": vendor.invite_path,
            "user": vendor.user,
            "password": vendor.password,
        }
        return self._run(order, report)

    def _run(self, order: dict[str, Any], report: Path) -> Cost:
        raise NotImplementedError


class Child(Contender):
    """A program that takes orders on its standard input."""

    def __init__(
        self, name: str, home: Path, command: list[str], environment: dict[str, str], order: dict[str, str]
    ) -> None:
        super().__init__(name, home)
        self._command = command
        self._environment = environment
        self._order = order

    def start(self) -> None:
        self._answers, answer_to = os.pipe()
        self._log = self.home / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._command, str(answer_to)],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[answer_to],
            )
        os.close(answer_to)

    def wait_until_ready(self) -> None:
        self._wait()

    def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _run(self, order: dict[str, Any], report: Path) -> Cost:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order | self._order).encode() + b"\n")
        self._process.stdin.flush()
        self._wait()
        if not report.exists():
            raise RuntimeError(f"{self.name} failed: {self._end_of_log()}")
        (cost,) = read_report(report)
        return cost

    def _wait(self) -> None:
        if not os.read(self._answers, 100):
            raise RuntimeError(f"{self.name} ended: {self._end_of_log()}")

    def _end_of_log(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


def plain(name: str, way: str, home: Path) -> Contender:
    """A program without Airflow."""
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
    return Child(name, home, ["-m", "benchmarks.plain", way], environment, {})


def in_dag_test(name: str, dag_id: str, airflow: BenchmarkAirflow, **order: str) -> Contender:
    """A task in ``dag.test()``, with a real metadata database; what else it is told goes into the run's conf."""
    command = [str(DAGS / "benchmark_dags.py"), dag_id]
    return Child(name, airflow.home, command, airflow.environment, order)


class Scheduled(Contender):
    """A DAG that an Airflow with scheduler, LocalExecutor and API server runs."""

    def __init__(self, name: str, dag_id: str, airflow: BenchmarkAirflow, is_mapped: bool = False) -> None:
        super().__init__(name, airflow.home / dag_id)
        self.home.mkdir()
        self._dag_id = dag_id
        self._airflow = airflow
        self._is_mapped = is_mapped

    def wait_until_ready(self) -> None:
        self._airflow.api("PATCH", f"/api/v2/dags/{self._dag_id}", {"is_paused": False})

    def _run(self, order: dict[str, Any], report: Path) -> Cost:
        body = {"logical_date": None, "conf": order}
        run_id = str(self._airflow.api("POST", f"/api/v2/dags/{self._dag_id}/dagRuns", body)["dag_run_id"])
        state = self._airflow.wait_for_run(self._dag_id, run_id)
        if state != "success":
            raise RuntimeError(f"{self.name}: {state}; {self._airflow.log(self._dag_id, run_id)[-3000:]}")
        costs = read_report(report)
        return self._of_all_tasks(run_id, costs) if self._is_mapped else costs[0]

    def _of_all_tasks(self, run_id: str, costs: list[Cost]) -> Cost:
        """From the start of the first to the end of the last: what is between them belongs to this way of sending."""
        ((begin, end),) = self._airflow.query(
            "SELECT min(start_date), max(end_date) FROM task_instance WHERE run_id = ? AND task_id = 'send'", run_id
        )
        seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
        return Cost(len(costs), seconds, sum(cost.cpu for cost in costs), max(cost.peak for cost in costs), 0.0)


@dataclass
class Runs:
    """
    The runs of one contender over one latency.

    :param costs: one for each round.
    :param shares: of the speed of raw aiohttp in the same round.
    """

    costs: list[Cost] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
