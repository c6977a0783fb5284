"""The servers of the outage proof: two PostgreSQL, Redis, the vendor, and an Airflow with two Celery workers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psycopg2
from demo_processes import Failed, Processes, airflow_environment, get_json

from airflow_provider_omnichat.sandbox.settings import Settings, airflow_connection

# PostgreSQL does not run as root.
_AS_ANOTHER_USER: dict[str, Any] = (
    {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
)
_INSTALL = "On Debian and Ubuntu: apt-get install postgresql redis-server"
_START_SECONDS = 300
QUEUES = ("left", "right")


def program(name: str) -> str:
    """
    Find a program.

    :raises Failed: when it is not on this machine.
    """
    places = [*map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), os.environ.get("PATH", "")]
    if found := shutil.which(name, path=os.pathsep.join(places)):
        return found
    raise Failed(f"There is no {name} on PATH. {_INSTALL}")


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Return whether something takes connections at a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class PostgreSQL:
    """A PostgreSQL server with durable commits."""

    def __init__(self, name: str, processes: Processes, work: Path, home: Path) -> None:
        self.name = name
        self.port = free_port()
        self._processes = processes
        self._work = work
        self._home = home / name
        command = [program("initdb"), "-D", str(self._home), "-U", "owner", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **_AS_ANOTHER_USER)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        where = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}", "-k", str(self._home.parent)]
        command = [program("postgres"), "-D", str(self._home), *where, "-c", "max_connections=200"]
        self._processes.start_program(self.name, command, self._work, dict(os.environ), cwd="/", **_AS_ANOTHER_USER)
        self._processes.wait_for(self._answers, timeout=60)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask it."""
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    def _connect(self) -> Any:
        return psycopg2.connect(host="127.0.0.1", port=self.port, user="owner", dbname="postgres")

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg2.OperationalError:
            return False
        return True


@contextmanager
def database_home() -> Iterator[Path]:
    """Return a directory for databases, which is removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="omnichat-", dir="/tmp"))  # a socket's path has to be short
    try:
        if _AS_ANOTHER_USER:
            shutil.chown(home, _AS_ANOTHER_USER["user"], _AS_ANOTHER_USER["group"])
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Vendor:
    """
    The sandbox, which can be killed and started again as the same account.

    :param options: more options of its command line.
    :param extra: more extra of the connection.
    """

    name = "vendor"

    def __init__(
        self, processes: Processes, work: Path, options: Sequence[str], extra: Mapping[str, Any] | None = None
    ) -> None:
        self.outbox = work / "outbox.jsonl"
        self._settings = Settings(port=free_port())
        connection = json.loads(airflow_connection(self._settings, self._settings.port))
        connection["extra"] |= extra or {}
        self.connection = json.dumps(connection)
        self._processes = processes
        self._work = work
        self._options = options

    def start(self) -> None:
        """Start it, and wait until it listens."""
        settings = self._settings
        given = {
            "port": settings.port,
            "user": settings.credentials.user,
            "password": settings.credentials.password,
            "application-key": settings.application_key,
            "outbox-file": self.outbox,
        }
        options = [f"--{name}={value}" for name, value in given.items()]
        command = ["airflow_provider_omnichat.sandbox", *options, *self._options]
        self._processes.start(self.name, command, self._work, dict(os.environ))
        self._processes.wait_for(lambda: listens(settings.port), timeout=60)


class Redis:
    """The broker, which writes what it is given to a file, as one in production has to."""

    name = "redis"

    def __init__(self, processes: Processes, work: Path) -> None:
        self.port = free_port()
        self._processes = processes
        self._work = work
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._work)]
        command = [program("redis-server"), *where, "--save", "", "--appendonly", "yes"]
        self._processes.start_program(self.name, command, self._work, dict(os.environ))
        self._processes.wait_for(lambda: listens(self.port), timeout=60)


class CeleryAirflow:
    """
    An Airflow whose tasks run in two Celery workers.

    :param code: a checkout, whose provider is used in place of the installed one.
    """

    def __init__(
        self, processes: Processes, work: Path, metadata: PostgreSQL, redis: Redis, code: Path, heartbeat_timeout: int
    ) -> None:
        self._processes = processes
        self._work = work
        self._workers = 0
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        self.environment = airflow_environment(work, Path(__file__).parent / "outage_dags") | {
            "PYTHONPATH": str(code),
            "AIRFLOW__API__BASE_URL": self._url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{redis.port}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"redis://127.0.0.1:{redis.port}/1",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "8",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self._url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://owner@127.0.0.1:{metadata.port}/postgres",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(heartbeat_timeout),
            # A dead worker keeps the tasks that it had taken from the queue and not begun.
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": str(2 * heartbeat_timeout),
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
            # Else Airflow fails a task that has waited for a slot this often, whatever its retries.
            "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "100",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        }

    def start(self) -> None:
        """Start all of it; the workers need some seconds more until they take tasks."""
        self._processes.run("db migrate", ["airflow", "db", "migrate"], self._work, self.environment)
        self._start("scheduler", ["scheduler", "--skip-serve-logs"])
        self._start("dag-processor", ["dag-processor"])
        for queue in QUEUES:
            self.start_worker(queue)
        self.start_api_server()

    def start_api_server(self) -> None:
        """Start the API server, and wait until it answers."""
        self._start("api-server", ["api-server"])
        self._processes.wait_for(lambda: self._asked("/api/v2/version") is not None, timeout=_START_SECONDS)

    def start_worker(self, queue: str) -> None:
        """Start the worker that takes the tasks of a queue."""
        self._workers += 1
        name = f"{queue}-{self._workers}"  # Celery refuses a name that a dead worker had a moment ago
        options = ["--queues", queue, "--celery-hostname", name, "--skip-serve-logs"]
        options += ["--pid", str(self._work / f"{name}.pid")]
        self._start(worker_name(queue), ["celery", "worker", *options], lambda: self.start_worker(queue))

    def trigger(self, run_id: str, tick: Callable[[], None]) -> None:
        """Trigger the DAG, once it is there."""
        run = {"dag_run_id": run_id, "logical_date": None}
        path = "/api/v2/dags/outage/dagRuns"
        self._processes.wait_for(lambda: self._asked(path, run) is not None, tick, timeout=_START_SECONDS)

    def close(self) -> None:
        """End the workers and their tasks, which have their own process groups and would go on."""
        for name in set(map(worker_name, QUEUES)) & set(self._processes.pids().values()):
            self._processes.kill(name)

    def _start(self, name: str, command: Sequence[str], again: Callable[[], None] | None = None) -> None:
        # Without Redis the scheduler ends, and counts on somebody who starts it again.
        self._processes.restarts[name] = again or (lambda: self._start(name, command))
        self._processes.start(name, ["airflow", *command], self._work, self.environment)

    def _asked(self, path: str, body: Any = None) -> Any:
        """Return the answer of the API server; None if there is none, or it does not know what is asked for."""
        try:
            token = get_json(f"{self._url}/auth/token")["access_token"]
            return get_json(f"{self._url}{path}", token, body)
        except HTTPError as error:
            return {} if error.code == 409 else None  # the run is there: an earlier answer was lost
        except (OSError, ValueError):
            return None


def worker_name(queue: str) -> str:
    """Return the name of the process that takes the tasks of a queue."""
    return f"worker {queue}"


def ledger_connection(ledger: PostgreSQL) -> str:
    """Return the connection to the ledger, as Airflow's JSON."""
    where = {"host": "127.0.0.1", "port": ledger.port, "login": "owner", "schema": "postgres"}
    return json.dumps({"conn_type": "postgres", **where})
