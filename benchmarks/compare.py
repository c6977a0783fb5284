"""All contenders over the same course, round after round, so that what else the machine does hits them alike."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from benchmarks.airflow_home import BenchmarkAirflow
from benchmarks.contenders import Contender, Course, Runs, Scheduled, in_dag_test, plain
from benchmarks.invites import write_list
from benchmarks.postgresql import postgresql
from benchmarks.vendor import Vendor

LATENCIES = (0, 20, 100)
LIMIT = "raw `aiohttp`, 32 connections: the limit"

# Enough for a few seconds each; for a batch, enough that its start, which spares small accounts, counts little.
_MANY = {0: 20_000, 20: 14_400, 100: 6400}
_SOME = {0: 5000, 20: 3200, 100: 960}
_FEW = {0: 100, 20: 60, 100: 25}
_TASKS = {0: 8, 20: 8, 100: 8}

Table = dict[tuple[int, str], Runs]
Say = Callable[[str], None]


class Comparison:
    """
    One run of the benchmark.

    :param rounds: how often each contender has its turn.
    :param scale: multiplies the number of invites.
    :param latencies: of the server, in milliseconds.
    :param only: names of contenders, or parts of them; all if empty. The limit is always there.
    """

    def __init__(self, rounds: int, scale: float, latencies: tuple[int, ...], only: list[str]) -> None:
        self._rounds = rounds
        self._scale = scale
        self._latencies = latencies
        self._only = only
        self._began = monotonic()
        self.table: Table = {}
        self.notes: list[str] = []

    def run(self) -> Table:
        """Let everybody send."""
        with TemporaryDirectory(prefix="omnichat-benchmark-") as name, ExitStack() as stack:
            self._home = Path(name)
            self._vendor = Vendor(self._home)
            connections: dict[str, dict[str, object]] = {
                "omnichat_default": self._vendor.omnichat_connection,
                "benchmark_http": self._vendor.http_connection,
                "ledger_sqlite": {"conn_type": "sqlite", "host": str(self._home / "ledger.sqlite")},
            }
            database = stack.enter_context(postgresql())
            if database is None:
                self.notes.append("PostgreSQL is not on this machine and was left out.")
            else:
                connections["ledger_postgres"] = database
            self._say("Airflow's metadata database")
            self._airflow = BenchmarkAirflow(self._home / "airflow")
            self._airflow.migrate(connections)
            self._race(self._in_processes(database is not None))
            self._race_scheduled()
        return self.table

    def _in_processes(self, has_postgresql: bool) -> list[tuple[Contender, dict[int, int]]]:
        def batch(name: str, home: str, kind: str = "", **order: str) -> Contender:
            return in_dag_test(name, f"benchmark_batch{kind}", self._airflow.copy(self._home / home), **order)

        results = f"file://{self._home / 'results'}"
        made: list[tuple[str, dict[int, int], Callable[[str], Contender]]] = [
            (LIMIT, _MANY, lambda name: plain(name, "aiohttp", self._home / "aiohttp")),
            (
                "batch operator, task state store (default)",
                _MANY,
                lambda name: batch(name, "state"),
            ),
            (
                "batch operator, the same with result files",
                _MANY,
                lambda name: batch(name, "files", "_results", results=results),
            ),
            (
                "batch operator, SQL ledger on SQLite",
                _MANY,
                lambda name: batch(name, "sqlite", "_ledger", ledger="ledger_sqlite"),
            ),
            (
                "batch operator, SQL ledger on PostgreSQL",
                _MANY,
                lambda name: batch(name, "postgres", "_ledger", ledger="ledger_postgres"),
            ),
            (
                "`requests`, a session and 32 threads",
                _SOME,
                lambda name: plain(name, "requests", self._home / "requests"),
            ),
            (
                "Airflow's `HttpHook` in a loop in a task",
                _FEW,
                lambda name: in_dag_test(name, "benchmark_http_hook", self._airflow.copy(self._home / "hook")),
            ),
        ]
        return [
            (make(name), sizes)
            for name, sizes, make in made
            if self._is_asked_for(name) and (has_postgresql or "PostgreSQL" not in name)
        ]

    def _race_scheduled(self) -> None:
        batch, mapped = "batch operator, default, LocalExecutor", "`HttpOperator`, a mapped task each, LocalExecutor"
        if not any(map(self._is_asked_for, (batch, mapped))):
            return
        airflow = self._airflow.copy(self._home / "scheduled")
        contenders: list[tuple[Contender, dict[int, int]]] = []
        if self._is_asked_for(batch):
            contenders.append((Scheduled(batch, "benchmark_batch", airflow), _MANY))
        if self._is_asked_for(mapped):
            contenders.append((Scheduled(mapped, "benchmark_http_operator", airflow, is_mapped=True), _TASKS))
        self._say("scheduler, API server, DAG processor")
        try:
            airflow.start()
            self._race(contenders)
        finally:
            airflow.stop()

    def _is_asked_for(self, name: str) -> bool:
        return name == LIMIT or not self._only or any(part in name for part in self._only)

    def _race(self, contenders: list[tuple[Contender, dict[int, int]]]) -> None:
        self._say(f"start of {len(contenders)} contenders")
        try:
            for contender, _ in contenders:
                contender.start()
            for contender, _ in contenders:
                contender.wait_until_ready()
            for number in range(1, self._rounds + 1):
                for latency in self._latencies:
                    for contender, sizes in contenders:
                        if number > 1 and sizes in (_FEW, _TASKS):
                            continue  # so far from the others that one turn tells it
                        self._turn(number, contender, latency, sizes[latency])
        finally:
            for contender, _ in contenders:
                contender.stop()

    def _turn(self, number: int, contender: Contender, latency: int, size: int) -> None:
        invites = size if size < 10 else max(10, int(size * self._scale))
        path = self._home / f"{invites}.csv"
        if not path.exists():
            write_list(path, invites)
        with self._vendor.running(latency):
            cost = contender.run(Course(path, invites, latency), self._vendor)
            self._vendor.check(invites)
        runs = self.table.setdefault((latency, contender.name), Runs())
        runs.costs.append(cost)
        limit = self.table.get((latency, LIMIT))
        if limit is not None:
            fastest = limit.costs[number - 1]
            runs.shares.append((cost.invites / cost.seconds) / (fastest.invites / fastest.seconds))
        self._say(
            f"round {number}, {latency} ms, {contender.name}: {cost.invites / cost.seconds:.0f}/s,"
            f" {1000 * cost.cpu / cost.invites:.2f} ms CPU"
        )

    def _say(self, text: str) -> None:
        print(f"{monotonic() - self._began:4.0f} s  {text}", file=sys.stderr, flush=True)
