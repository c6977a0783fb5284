"""
Tries of a batch task in processes of their own, which a test may kill at any moment.

Airflow is loaded once, by a process that then forks one child for each try: `python -m tests.support.tries` reads a
plan from each line of its input and answers with the child's pid.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE_SECONDS

HERE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Plan:
    """
    One task and where its traces go.

    :param home: a directory of the task's own: its state store, its log, what each try ended with.
    :param given: arguments of the operator.
    :param environment: connections, as ``AIRFLOW_CONN_...``.
    :param operator: module and class.
    """

    home: str
    given: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    try_number: int = 1
    operator: str = "airflow_provider_omnichat.operators.omnichat:SendInviteBatchOperator"


class StoredValues(dict[str, Any]):
    """The task state store in a file, so that it outlives the process: each write is there at once."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def _run(self, sql: str, *values: str) -> list[tuple[str]]:
        # A connection each: the harness calls from more than one thread.
        database = sqlite3.connect(self._path, isolation_level=None, timeout=PATIENCE_SECONDS)
        try:
            database.execute("PRAGMA synchronous=OFF")
            database.execute("CREATE TABLE IF NOT EXISTS store (key TEXT PRIMARY KEY, value TEXT)")
            return database.execute(sql, values).fetchall()
        finally:
            database.close()

    def __contains__(self, key: object) -> bool:
        return bool(self._run("SELECT value FROM store WHERE key = ?", str(key)))

    def __getitem__(self, key: str) -> Any:
        ((value,),) = self._run("SELECT value FROM store WHERE key = ?", key)
        return json.loads(value)

    def __setitem__(self, key: str, value: Any) -> None:
        self._run("INSERT OR REPLACE INTO store VALUES (?, ?)", key, json.dumps(value))


@dataclass
class Try:
    """A try that runs, or has ended."""

    pid: int
    ended: Path

    @property
    def result(self) -> Mapping[str, Any] | None:
        """State, error, manifest and peak of memory; None while it runs, and of one that was killed."""
        return json.loads(self.ended.read_text()) if self.ended.exists() else None

    def runs(self) -> bool:
        """Whether it is still there."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def kill(self) -> bool:
        """Kill it with SIGKILL; tell whether it was still running."""
        if not self.runs():
            return False
        os.kill(self.pid, signal.SIGKILL)
        while self.runs():
            time.sleep(0.001)
        return self.result is None

    def wait(self, seconds: float = PATIENCE_SECONDS) -> Mapping[str, Any]:
        until = time.monotonic() + seconds
        while self.runs():
            assert time.monotonic() < until, "the try does not end"
            time.sleep(0.02)
        assert self.result is not None, f"the try ended without a word, see {self.ended.parent / 'log'}"
        return self.result


class Starter:
    """Starts tries."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, plan: Plan) -> Try:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(plan)), file=self._process.stdin, flush=True)
        pid = int(self._process.stdout.readline())
        return Try(pid, _ended(plan))


@contextmanager
def starter(home: Path) -> Iterator[Starter]:
    """Return a function that starts tries; *home* becomes Airflow's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.tries"],
        cwd=HERE,
        env={**environment, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Starter(process)
    finally:
        process.terminate()
        process.communicate()


def _ended(plan: Plan) -> Path:
    return Path(plan.home) / f"ended-{plan.try_number}.json"


def _run(plan: Plan) -> None:
    from tests.support.airflow_harness import run_task

    os.environ.update(plan.environment)
    module, _, name = plan.operator.partition(":")
    run = run_task(
        getattr(import_module(module), name)(**{"task_id": "invite", "retries": 99, **plan.given}),
        store=StoredValues(Path(plan.home) / "store.sqlite"),
        try_number=plan.try_number,
        retries=99,
        keep=False,
    )
    manifest = run.xcom.get("return_value")
    ended = {"state": run.state, "error": str(run.error), "manifest": manifest, "peak_mib": _peak_mib()}
    path = _ended(plan)
    path.with_suffix(".new").write_text(json.dumps(ended))
    path.with_suffix(".new").rename(path)


def _peak_mib() -> float:
    """The most memory that this process held; of Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> None:
    import airflow.sdk.execution_time.task_runner  # noqa: F401 - loaded before the fork, for all tries

    import airflow_provider_omnichat.campaign.engine.process
    import airflow_provider_omnichat.campaign.ledger.task_state_journal
    import airflow_provider_omnichat.campaign.results.files
    import airflow_provider_omnichat.campaign.rows.lists
    import airflow_provider_omnichat.operators.omnichat  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        plan = Plan(**json.loads(line))
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        try:
            log = os.open(Path(plan.home) / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(plan)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


if __name__ == "__main__":
    main()
