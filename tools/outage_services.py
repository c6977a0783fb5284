"""The servers of the outage proof: two PostgreSQL, Redis, and an Airflow with two Celery workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from demo_processes import Failed, Processes, airflow_environment

# PostgreSQL does not run as root.
_AS_ANOTHER_USER: dict[str, Any] = (
    {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
)
_INSTALL = "On Debian and Ubuntu: apt-get install postgresql redis-server"
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


class PostgreSQL:
    """A PostgreSQL server with durable commits, which can be stopped at once and started again."""

    def __init__(self, name: str, processes: Processes, work: Path, home: Path) -> None:
        self.port = free_port()
        self._name = name
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
        self._server = self._processes.start_program(
            self._name, command, self._work, dict(os.environ), cwd="/", **_AS_ANOTHER_USER
        )
        self._processes.wait_for(self._answers, timeout=60)

    def stop_at_once(self) -> None:
        """End it without a word to those who are connected, and without writing what is in its memory."""
        self._processes.end(self._server, signal.SIGQUIT)

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


class CeleryAirflow:
    """
    An Airflow whose tasks run in two Celery workers.

    :param code: a checkout, whose provider is used in place of the installed one.
    """

    def __init__(self, processes: Processes, work: Path, metadata: PostgreSQL, code: Path) -> None:
        self._processes = processes
        self._work = work
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        redis, port = free_port(), free_port()
        url = f"http://127.0.0.1:{port}"
        self.environment = airflow_environment(work, code / "tools" / "outage_dags") | {
            "PYTHONPATH": str(code),
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{redis}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"redis://127.0.0.1:{redis}/1",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "outage_dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://owner@127.0.0.1:{metadata.port}/postgres",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        }
        command = [program("redis-server"), "--bind", "127.0.0.1", "--port", str(redis), "--save", ""]
        processes.start_program("redis", command, work, dict(os.environ))

    def start(self) -> None:
        """Start its services; they need some seconds until they work."""
        self._processes.run("db migrate", ["airflow", "db", "migrate"], self._work, self.environment)
        for service in ("api-server", "scheduler", "dag-processor"):
            options = ["--skip-serve-logs"] if service == "scheduler" else []
            self._processes.start(service, ["airflow", service, *options], self._work, self.environment)
        for queue in QUEUES:
            self.start_worker(queue)

    def start_worker(self, queue: str) -> None:
        """Start the worker that takes the tasks of a queue."""
        name = f"{queue}-{time.time_ns()}"  # Celery refuses a name that a dead worker had a moment ago
        options = ["--queues", queue, "--celery-hostname", name, "--skip-serve-logs"]
        options += ["--pid", str(self._work / f"{name}.pid")]
        command = ["airflow", "celery", "worker", *options]
        self._workers[queue] = self._processes.start(f"worker {queue}", command, self._work, self.environment)

    def kill_worker(self, queue: str) -> None:
        """End a worker and all that it runs with SIGKILL, as when its machine goes away."""
        worker = self._workers.pop(queue)
        family = psutil.Process(worker.pid).children(recursive=True)
        self._processes.end(worker, signal.SIGKILL)
        for process in family:
            with suppress(psutil.NoSuchProcess):  # it has ended with its parent
                process.kill()
        psutil.wait_procs(family, timeout=10)

    def close(self) -> None:
        """End the workers and their tasks, which have their own process groups and would go on."""
        for queue, worker in list(self._workers.items()):
            if worker.poll() is None:
                self.kill_worker(queue)


def ledger_connection(ledger: PostgreSQL) -> str:
    """Return the connection to the ledger, as Airflow's JSON."""
    where = {"host": "127.0.0.1", "port": ledger.port, "login": "owner", "schema": "postgres"}
    return json.dumps({"conn_type": "postgres", **where})
