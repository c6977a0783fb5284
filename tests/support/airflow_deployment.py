"""A real Airflow: a home, a metadata database, the command line, and a scheduler if needed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from tests.support.airflow_versions import HAS_API_SERVER
from tests.support.folders import EXAMPLE_DAGS, TEST_DAGS
from tests.support.patience import PATIENCE_SECONDS

T = TypeVar("T")


class Run(NamedTuple):
    """A DAG run that has ended, and what its tasks logged."""

    run_id: str
    state: str
    log: str


class Airflow:
    """
    An Airflow in a new directory.

    :param home: where everything of it lies.
    :param connection: ``omnichat_default``, as Airflow's JSON.
    """

    def __init__(self, home: Path, connection: str) -> None:
        self.home = home
        self.marks = home / "marks"
        self.marks.mkdir(parents=True)
        self.snippets = home / "snippets"
        self.snippets.mkdir()
        self.example_home = home / "omnichat_example"
        self.example_database = self.example_home / "customers.sqlite"
        self.ledger = home / "ledger.sqlite"
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._token = ""
        self._services: dict[str, subprocess.Popen[bytes]] = {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        self.environment = kept | {
            "AIRFLOW_HOME": str(home),
            # By default, a process that has waited five seconds for another that writes fails, and the scheduler ends.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout={PATIENCE_SECONDS}",
            "AIRFLOW_CONN_OMNICHAT_DEFAULT": connection,
            "AIRFLOW_CONN_OMNICHAT_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(self.example_database)}),
            "AIRFLOW_CONN_OMNICHAT_LEDGER": json.dumps({"conn_type": "sqlite", "host": str(self.ledger)}),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(TEST_DAGS),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
                [
                    bundle("tests", TEST_DAGS),
                    bundle("examples", EXAMPLE_DAGS),
                    bundle("snippets", self.snippets),
                ]
            ),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor" if HAS_API_SERVER else "SequentialExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            # Busy: a server that answers after five seconds is not down; a task that cannot begin costs a try.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "10",
            "OMNICHAT_TEST_MARKS": str(self.marks),
        }

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``python command`` to its end."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.home,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def cli(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``airflow command`` to its end."""
        return self.run("-m", "airflow", *command, **environment)

    def query(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask Airflow's metadata database."""
        with closing(
            sqlite3.connect(f"{(self.home / 'airflow.db').as_uri()}?mode=ro", uri=True, timeout=30)
        ) as database:
            return database.execute(question, values).fetchall()

    def xcoms(self, dag_id: str, run_id: str, task_id: str, key: str) -> dict[int, Any]:
        """Return the values of an XCom by map index; -1 for a task that is not mapped."""
        rows = self.query(
            "SELECT map_index, value FROM xcom WHERE dag_id = ? AND run_id = ? AND task_id = ? AND key = ?",
            dag_id,
            run_id,
            task_id,
            key,
        )
        return {map_index: json.loads(value) for map_index, value in rows}

    def tries(self, dag_id: str, run_id: str, task_id: str) -> dict[int, tuple[str, int]]:
        """Return state and number of tries by map index."""
        rows = self.query(
            "SELECT map_index, state, try_number FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ?",
            dag_id,
            run_id,
            task_id,
        )
        return {map_index: (state, try_number) for map_index, state, try_number in rows}

    def rendered(self, dag_id: str, run_id: str) -> dict[tuple[str, int], str]:
        """Return what the *Rendered Template* view shows, by task and map index."""
        rows = self.query(
            "SELECT task_id, map_index, rendered_fields FROM rendered_task_instance_fields"
            " WHERE dag_id = ? AND run_id = ?",
            dag_id,
            run_id,
        )
        return {(task_id, map_index): str(fields) for task_id, map_index, fields in rows}

    def log(self, dag_id: str, run_id: str, task_id: str = "*", attempt: int | None = None) -> str:
        """Return the log files of a run, of a task, of a try."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
        files = sorted(folder.glob(f"task_id={task_id}/**/attempt={attempt or '*'}.log"))
        assert files, f"no logs in {folder}"
        return "\n".join(file.read_text() for file in files)

    def last_run(self, dag_id: str) -> tuple[str, str]:
        """Return run id and state of the newest run."""
        run_id: str
        state: str
        ((run_id, state),) = self.query(
            "SELECT run_id, state FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1", dag_id
        )
        return run_id, state

    def start(self) -> None:
        """Start API server, scheduler and DAG processor, and wait until they work."""
        for name in ("api-server", "scheduler", "dag-processor"):
            self._start(name, *(["--skip-serve-logs"] if name == "scheduler" else []))
        self.wait_until(self._is_up, "Airflow is up")

    def start_api_server(self) -> None:
        """Start the API server alone."""
        self._start("api-server")

    @property
    def api_server_pid(self) -> int:
        """The process that serves the API and the UI."""
        return self._services["api-server"].pid

    def start_triggerer(self) -> None:
        """Start what wakes deferred tasks, unless it runs."""
        if "triggerer" not in self._services:
            self._start("triggerer", "--skip-serve-logs")

    def restart_triggerer(self) -> None:
        """Kill it, with all that it starts, and start it again."""
        os.killpg(self._services["triggerer"].pid, signal.SIGKILL)
        self._services.pop("triggerer").wait()
        self.start_triggerer()

    def _start(self, name: str, *options: str) -> None:
        with (self.home / f"{name}.log").open("wb") as output:
            self._services[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", name, *options],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Stop what was started."""
        for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
            for service in self._services.values():
                if service.poll() is None:
                    os.killpg(service.pid, number)
            for service in self._services.values():
                try:
                    service.wait(patience)
                except subprocess.TimeoutExpired:
                    continue

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Call Airflow's REST API."""
        with urlopen(self.request(method, path, body), timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def get(self, path: str) -> Any:
        """Get from Airflow's REST API; None for what is not there (yet)."""
        try:
            return self.api("GET", path)
        except HTTPError as error:
            if error.code == 404:
                return None
            raise

    def request(self, method: str, path: str, body: object = None) -> Request:
        """Make a request to the API server, as its user."""
        return Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )

    def log_in(self) -> bool:
        """Become its user."""
        self._token = self.api("GET", "/auth/token")["access_token"]
        return True

    def run_dag(self, dag_id: str) -> Run:
        """Run a DAG to its end: in the running Airflow, or on Airflow 2 with `dags test`."""
        if HAS_API_SERVER:
            return self.ended(dag_id, self.trigger(dag_id))
        folders = (EXAMPLE_DAGS, TEST_DAGS, self.snippets)
        folder = next(folder for folder in folders if (folder / f"{dag_id}.py").exists())
        ended = self.cli("dags", "test", dag_id, "2026-11-20", AIRFLOW__CORE__DAGS_FOLDER=str(folder))
        return Run(*self.last_run(dag_id), ended.stdout)

    def ended(self, dag_id: str, run_id: str) -> Run:
        """Wait until a run has ended, and return it."""
        state = self.wait_for_run(dag_id, run_id)
        return Run(run_id, state, self.log(dag_id, run_id))

    def trigger(self, dag_id: str) -> str:
        """Start a run and return its id; a DAG with a schedule gets its run from the scheduler, once it is unpaused."""
        parsed = self.wait_until(lambda: self.get(f"/api/v2/dags/{dag_id}"), f"{dag_id} is parsed")
        self.api("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        runs = "SELECT run_id FROM dag_run WHERE dag_id = ? AND run_id LIKE ?"
        if parsed["timetable_summary"] in (None, "None"):
            started = self.api("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None})["dag_run_id"]
        else:
            started = "scheduled%"
        # Airflow commits it just after it has answered.
        ((run_id,),) = self.wait_until(lambda: self.query(runs, dag_id, started), f"{dag_id} has a run")
        return str(run_id)

    def clear(self, dag_id: str, run_id: str, **options: bool) -> None:
        """Clear a run, as the button in the UI does; *options* are of Airflow's API."""
        self.api(
            "POST",
            f"/api/v2/dags/{dag_id}/clearTaskInstances",
            {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True, **options},
        )

    def wait_for_run(self, dag_id: str, run_id: str) -> str:
        """Wait for the end of a run and give its state."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}"
        return self.wait_until(
            lambda: str(state) if (state := self.api("GET", path)["state"]) in ("success", "failed") else None,
            f"{dag_id} {run_id} has ended",
        )

    def wait_until_at_rest(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Wait until the scheduler knows that a task has left its worker to wait for something.

        Airflow asks a person, puts the task to rest, and hears from the executor that the worker is free, in this order
        and some tenths of a second apart. An answer in between starts the task anew too early: the scheduler takes the
        end of the first part for the end of the second, and fails the task ("state mismatch" in its event log). No
        person is so fast.
        """
        key = f"TaskInstanceKey(dag_id={dag_id!r}, task_id={task_id!r}, run_id={run_id!r},"
        ended = f"Received executor event with state success for task instance {key}"
        self.wait_until(
            lambda: ended in (self.home / "scheduler.log").read_text(errors="replace"), f"{task_id} is at rest"
        )

    def wait_until(self, condition: Callable[[], T | None], what: str) -> T:
        """Wait until the condition gives something true, and give that."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not (found := condition()):
            for name, service in self._services.items():
                assert service.poll() is None, f"{name} ended: {self._end_of_log(name)}"
            assert time.monotonic() < until, f"never: {what}. {self._what_happened()}"
            time.sleep(0.1)
        return found

    def _what_happened(self) -> str:
        broken = self.query("SELECT stacktrace FROM import_error")
        return "".join([*(trace for (trace,) in broken), *map(self._end_of_log, self._services)])

    def _end_of_log(self, name: str) -> str:
        return f"\n{name}:\n" + "\n".join((self.home / f"{name}.log").read_text(errors="replace").splitlines()[-15:])

    def _is_up(self) -> bool:
        try:
            health = self.api("GET", "/api/v2/monitor/health")
            if any(health[part]["status"] != "healthy" for part in ("metadatabase", "scheduler", "dag_processor")):
                return False
            self._token = self.api("GET", "/auth/token")["access_token"]
            return True
        except OSError:
            return False


def bundle(name: str, path: Path) -> dict[str, object]:
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {"name": name, "classpath": classpath, "kwargs": {"path": str(path), "refresh_interval": 300}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def assert_none_of(secrets: Sequence[str], text: str) -> None:
    """Fail, without repeating the text, when one of these is in it."""
    found = [secret for secret in secrets if secret in text]
    lines = [line for line in text.splitlines() if any(secret in line for secret in found)]
    assert not found, f"{found} in {lines[:3]}"
