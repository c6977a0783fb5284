"""
Runs a DAG with every kind of task on the Airflow of this Python, really, and looks at what came of it.

    .matrix/3.1/bin/python tools/matrix_run.py result.json      in a directory without a checkout of the provider

Each check is a line, and an entry of the result: ``ok``, or what is wrong.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

from demo_processes import (
    Failed,
    Processes,
    SandboxAddress,
    airflow_environment,
    airflow_home,
    database_connections,
    example_database,
    get_json,
    start_sandbox,
)
from demo_ui import start_ui

import airflow_provider_omnichat

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
DAGS = Path(__file__).with_name("matrix_dags")
DAG, RUN = "matrix", "matrix-run"
# By the ten in the number, see the DAG.
SENT = {"single": 1, "batch": 5, "transfer": 3, "mapped": 2}
TENS = {1: "single", 2: "batch", 3: "transfer", 4: "mapped"}
CLEARED = {"clear, with a ledger": ("batch", "mapped"), "clear, without a ledger": ("single", "transfer")}
INSTANCES = {"mapped": 2}
ENDED = {"success", "failed"}


class Deployment(ABC):
    """An Airflow with a scheduler, and the sandbox."""

    sandbox: SandboxAddress

    def __init__(self, processes: Processes, work: Path) -> None:
        self.processes, self.work = processes, work

    @abstractmethod
    def trigger(self) -> None:
        """Start the run."""

    @abstractmethod
    def tasks(self) -> list[tuple[str, int, str]]:
        """Return the name, the number of tries and the state of each task instance."""

    @abstractmethod
    def run_state(self) -> str:
        """Return the state of the run."""

    @abstractmethod
    def clear(self, *task_ids: str) -> None:
        """Clear tasks as users do."""

    def wait(self, attempt: int, *task_ids: str) -> dict[str, set[str]]:
        """Wait until all instances of these tasks have ended this attempt; give their states."""

        def have_ended() -> bool:
            found = [(tries, state) for task_id, tries, state in self.tasks() if task_id in task_ids]
            are_all = len(found) == sum(INSTANCES.get(task_id, 1) for task_id in task_ids)
            ended = ((tries >= attempt and state in ENDED) or state == "upstream_failed" for tries, state in found)
            # A clear while Airflow ends the run would be lost.
            return are_all and all(ended) and self.run_state() in ENDED

        self.processes.wait_for(have_ended)
        return {task_id: {state for name, _, state in self.tasks() if name == task_id} for task_id in task_ids}

    def sms(self) -> dict[str, Counter[str]]:
        """Count the SMS of each person, by the task that invites them."""
        found: dict[str, Counter[str]] = {task: Counter() for task in SENT}
        for sms in self.sandbox.outbox()["invites"]:
            if sms["accepted"]:
                found[TENS[int(sms["to"][-2])]][sms["to"]] += 1
        return found


class Airflow3(Deployment):
    """With the REST API, as the UI uses it."""

    def __init__(self, processes: Processes, work: Path) -> None:
        super().__init__(processes, work)
        self.url, self.sandbox = start_ui(processes, work, DAGS, (), 1, "--delivery-after=0-1")
        self._token = get_json(f"{self.url}/auth/token")["access_token"]

    def ask(self, path: str, body: object = None) -> tuple[int, str]:
        """Ask the API server as its user; give status and text."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with build_opener(ProxyHandler({})).open(
                Request(f"{self.url}{path}", data, headers), timeout=120
            ) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def _json(self, path: str, body: object = None) -> Any:
        status, text = self.ask(f"/api/v2/dags/{DAG}/{path}", body)
        if status != 200:
            raise Failed(f"{path}: HTTP {status}: {text[:500]}")
        return json.loads(text)

    def trigger(self) -> None:
        self._json("dagRuns", {"logical_date": None, "dag_run_id": RUN})

    def tasks(self) -> list[tuple[str, int, str]]:
        found = self._json(f"dagRuns/{RUN}/taskInstances")["task_instances"]
        return [(each["task_id"], each["try_number"], each["state"]) for each in found]

    def run_state(self) -> str:
        return str(self._json(f"dagRuns/{RUN}")["state"])

    def clear(self, *task_ids: str) -> None:
        self._json(
            "clearTaskInstances",
            {"dry_run": False, "dag_run_id": RUN, "task_ids": task_ids, "only_failed": False, "reset_dag_runs": True},
        )


class Airflow2(Deployment):
    """With the command line; on SQLite it runs one task at a time."""

    def __init__(self, processes: Processes, work: Path) -> None:
        super().__init__(processes, work)
        self.sandbox = start_sandbox(processes, work, (), 1, 0, "--delivery-after=0-1")
        given = {"omnichat_default": self.sandbox.airflow_connection, **database_connections(work)}
        self._environment = airflow_environment(work, DAGS) | {
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            **{f"AIRFLOW_CONN_{name.upper()}": connection for name, connection in given.items()},
        }
        self._airflow("db", "migrate")
        processes.start("scheduler", ["airflow", "scheduler", "--skip-serve-logs"], work, self._environment)
        processes.wait_for(lambda: bool(self._rows("SELECT 1 FROM serialized_dag WHERE dag_id = ?", DAG)))

    def _airflow(self, *command: str) -> None:
        self.processes.run(" ".join(command[:2]), ["airflow", *command], self.work, self._environment)

    def _rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        return rows(airflow_home(self.work) / "airflow.db", question, *values)

    def trigger(self) -> None:
        self._airflow("dags", "trigger", DAG, "--run-id", RUN)

    def tasks(self) -> list[tuple[str, int, str]]:
        found = self._rows("SELECT task_id, try_number, state FROM task_instance WHERE run_id = ?", RUN)
        return [(str(task_id), int(tries), str(state)) for task_id, tries, state in found]

    def run_state(self) -> str:
        return str(self._rows("SELECT state FROM dag_run WHERE run_id = ?", RUN)[0][0])

    def clear(self, *task_ids: str) -> None:
        self._airflow("tasks", "clear", DAG, "--yes", "--task-regex", f"^({'|'.join(task_ids)})$")


def rows(database: Path, question: str, *values: object) -> list[tuple[Any, ...]]:
    """Read from a database of SQLite."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)) as connection:
        return connection.execute(question, values).fetchall()


class Checks:
    """What was looked at, and what was found."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def check(self, name: str, look: Callable[[], object]) -> None:
        """Print and keep how a check ended: an exception says what is wrong."""
        try:
            look()
        except Exception as error:  # of any kind: the other checks are made all the same
            self.found[name] = f"{type(error).__name__}: {error}"[:300]
        else:
            self.found[name] = "ok"
        print(f"  {name:28} {self.found[name]}", flush=True)


def expect(found: object, expected: object) -> None:
    """Fail unless they are the same."""
    if found != expected:
        raise ValueError(f"{found!r} instead of {expected!r}")


def each_once(deployment: Deployment, *task_ids: str) -> None:
    """Fail unless everybody has exactly one SMS of these tasks."""
    sms = deployment.sms()
    for task_id in task_ids:
        expect(sorted(sms[task_id].values()), [1] * SENT[task_id])


def check_tasks(checks: Checks, deployment: Deployment) -> None:
    deployment.trigger()
    states = deployment.wait(1, "delivery", *SENT)

    def ended(task_id: str) -> None:
        expect(states.get(task_id), {"success"})
        each_once(deployment, *({task_id} & SENT.keys()))

    def in_ledger(task_id: str, condition: str) -> int:
        question = f"SELECT count(*) FROM omnichat_invites WHERE campaign = ? AND {condition}"
        ledger = airflow_home(deployment.work) / "ledger.sqlite"
        return int(rows(ledger, question, f"{DAG}/{RUN}/{task_id}")[0][0])

    def batch() -> None:
        ended("batch")
        expect(in_ledger("batch", "outcome = 'accepted'"), 5)

    def transfer() -> None:
        ended("transfer")
        results = example_database(deployment.work)
        expect(rows(results, "SELECT outcome, count(*) FROM sent GROUP BY outcome"), [("accepted", 3)])

    def delivery() -> None:
        ended("delivery")
        expect(in_ledger("batch", "delivery IS NOT NULL"), 5)

    checks.check("single invite", lambda: ended("single"))
    checks.check("mapped invites", lambda: ended("mapped"))
    checks.check("batch with SQL ledger", batch)
    checks.check("transfer", transfer)
    checks.check("delivery sensor", delivery)


def check_pages(checks: Checks, deployment: Airflow3) -> None:
    def page(name: str, task_id: str = "batch", map_index: int = -1) -> str:
        query = {"dag_id": DAG, "run_id": RUN, "task_id": task_id, "map_index": map_index}
        status, text = deployment.ask(f"/omnichat/{name}?{urlencode(query, quote_via=quote)}")
        expect(status, 200)
        if re.search(r"4477009001\d\d", text):
            raise ValueError("there is a whole number on it")
        return text

    def accepted(text: str, count: int) -> None:
        if not re.search(rf"<b>{count}</b>\s*accepted", text):
            raise ValueError(f"it does not say that {count} were accepted")

    def campaigns() -> None:
        text = page("campaigns")
        expect([task for task in SENT if f"· {task}</a>" not in text], [])

    def tab() -> None:
        for task_id, count in SENT.items():
            if task_id != "mapped":
                accepted(page("task", task_id), count)
        accepted(page("task", "mapped", 1), 1)

    checks.check("tab", tab)
    checks.check("task.json", lambda: expect(json.loads(page("task.json"))["counts"]["accepted"], 5))
    checks.check("rows.csv", lambda: expect(page("rows.csv").count(",accepted,"), 5))
    checks.check("run", lambda: accepted(page("run"), sum(SENT.values())))
    checks.check("campaigns", campaigns)


def check_clear(checks: Checks, deployment: Deployment) -> None:
    def clear(task_ids: tuple[str, ...]) -> None:
        deployment.clear(*task_ids)
        deployment.wait(2, *task_ids)
        each_once(deployment, *task_ids)

    for name, task_ids in CLEARED.items():
        checks.check(name, partial(clear, task_ids))


def main() -> int:
    installed = Path(airflow_provider_omnichat.__file__)
    checks = Checks()
    checks.check("installed from the wheel", lambda: expect("site-packages" in installed.parts, True))
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder, Processes() as processes:
        work = Path(folder)
        try:
            deployment = (Airflow3 if AIRFLOW >= (3, 0) else Airflow2)(processes, work)
            make_people(example_database(work))
            check_tasks(checks, deployment)
            if isinstance(deployment, Airflow3) and AIRFLOW >= (3, 1):
                check_pages(checks, deployment)
            check_clear(checks, deployment)
        except Failed as failure:
            checks.found["deployment"] = str(failure)
            print(failure)
        if set(checks.found.values()) != {"ok"}:
            show_logs(work)
    Path(sys.argv[1]).write_text(json.dumps(checks.found))
    return int(set(checks.found.values()) != {"ok"})


def make_people(database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE people (id TEXT, phone TEXT)")
        people = [(f"T-{i}", f"+4477009001{30 + i}") for i in range(SENT["transfer"])]
        connection.executemany("INSERT INTO people VALUES (?, ?)", people)
        connection.commit()


def show_logs(work: Path) -> None:
    """Print the errors of tasks and servers: the directory is gone afterwards."""
    for log in sorted([*work.glob("*.log"), *airflow_home(work).glob("logs/dag_id=matrix/**/*.log")]):
        said = [line for line in log.read_text(errors="replace").splitlines() if re.search(r"rror|Traceback", line)]
        if said:
            print("\n".join([f"-- {log.relative_to(work)}", *(f"  | {line[:400]}" for line in said[-8:])]))


if __name__ == "__main__":
    sys.exit(main())
