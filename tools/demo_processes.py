"""Starting, watching and stopping the programs of the demo."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import ProxyHandler, Request, build_opener

_SHOWN_LINES = 15
_OWN = ("AIRFLOW", "OMNICHAT_")
_direct = build_opener(ProxyHandler({}))


class Failed(Exception):
    """The demo cannot go on; the text says why and where to look."""


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Keep a second demo from removing the files of one that runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failed(f"Another one is running here ({path} is locked). Stop it first, with Ctrl-C.") from None
        yield


def get_json(url: str, token: str | None = None, body: Any = None) -> Any:
    """Ask a server on this machine, past any proxy; with a body, as a POST."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = Request(url, None if body is None else json.dumps(body).encode(), headers)
    with _direct.open(request, timeout=10) as answer:
        return json.load(answer)


def airflow_home(work: Path) -> Path:
    """Return the home of the demo's Airflow."""
    return work / "airflow"


def example_database(work: Path) -> Path:
    """Return the file of the database with the example's customers."""
    return airflow_home(work) / "omnichat_example" / "customers.sqlite"


def database_connections(work: Path) -> dict[str, str]:
    """Return the connections to the example's databases by id, as Airflow's JSON."""
    files = {"omnichat_ledger": airflow_home(work) / "ledger.sqlite", "omnichat_warehouse": example_database(work)}
    return {name: json.dumps({"conn_type": "sqlite", "host": str(file)}) for name, file in files.items()}


def airflow_environment(work: Path, dags: Path) -> dict[str, str]:
    """Return the environment of the demo's Airflow, without settings for any other."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    home = airflow_home(work)
    home.mkdir()
    no_proxy = ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1", "localhost")))
    return kept | {
        "AIRFLOW_HOME": str(home),
        # By default, a process that has waited five seconds for another that writes fails, and the scheduler ends.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=600",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONUNBUFFERED": "1",
    }


class Step:
    """One line of progress: what is done, how far it is, and in the end how long it took."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.says = ""
        self._live = sys.stdout.isatty()
        self._begin = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._print("failed" if isinstance(error, Exception) else "stopped" if error else self.says, end="\n")

    def wait(self, says: str = "") -> None:
        """Show how far it is; where the output is no terminal, only every few seconds."""
        now = time.monotonic()
        if self._live:
            self._print(says, end="")
        elif now - self._shown >= 10:
            self._print(says, end="\n")
            self._shown = now

    def _print(self, says: str, end: str) -> None:
        line = f"  {self.name:38} {time.monotonic() - self._begin:4.0f} s   {says}".rstrip()
        print(f"\r{line}\x1b[K" if self._live else line, end=end, flush=True)


@dataclass
class _Process:
    name: str
    popen: subprocess.Popen[bytes]
    log: Path


@dataclass
class Processes:
    """
    The programs that were started; leaving the ``with`` block stops them, however it is left.

    :param tick: called again and again in every wait.
    :param restarts: starts a program again that has ended by itself, by its name, as an operating system does.
    """

    tick: Callable[[], None] = lambda: None
    restarts: dict[str, Callable[[], None]] = field(default_factory=dict)
    restarted: list[str] = field(default_factory=list)
    _running: list[_Process] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not leave half of them running.
        kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            for process in reversed(self._running):
                _signal(process.popen, number)
            until = time.monotonic() + patience
            while any(process.popen.poll() is None for process in self._running) and time.monotonic() < until:
                time.sleep(0.05)
        for number, handler in kept.items():
            signal.signal(number, handler)

    def start(
        self, name: str, command: Sequence[str], work: Path, environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start ``python -m command`` with its output in ``work/name.log``."""
        return self.start_program(name, [sys.executable, "-m", *command], work, environment)

    def start_program(
        self, name: str, command: Sequence[str], work: Path, environment: dict[str, str], **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program with its output in ``work/name.log``; *options* are those of ``Popen``."""
        log = work / f"{name.replace(' ', '-')}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                command,
                cwd=options.pop("cwd", work),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own process group: Ctrl-C reaches only the demo, and the child's children can be stopped.
                start_new_session=True,
                **options,
            )
        self._running.append(_Process(name, popen, log))
        return popen

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a program."""
        self._named(name).popen.send_signal(number)

    def _named(self, name: str) -> _Process:
        return next(process for process in self._running if process.name == name)

    def kill(self, name: str) -> None:
        """End a program and all that it has started with SIGKILL, as when its machine goes away."""
        import psutil  # comes with Airflow; what asks whether there is one must not fail before

        process = self._named(name)
        self._running.remove(process)
        family = psutil.Process(process.popen.pid).children(recursive=True)
        process.popen.kill()
        for child in family:
            with suppress(psutil.NoSuchProcess):  # it has ended with its parent
                child.kill()
        process.popen.wait(60)
        psutil.wait_procs(family, timeout=10)

    def pids(self) -> dict[int, str]:
        """Return the names of the running programs by process id."""
        return {process.popen.pid: process.name for process in self._running}

    def run(
        self,
        name: str,
        command: Sequence[str],
        work: Path,
        environment: dict[str, str],
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Start it and wait for its end, calling ``tick``.

        :raises Failed: when it fails.
        """
        self.start(name, command, work, environment)
        process = self._running[-1]
        self.wait_for(lambda: process.popen.poll() is not None, tick, allowed_to_end=process)
        if process.popen.returncode:
            raise Failed(_last_words(process))
        self._running.remove(process)

    def wait_for(
        self,
        condition: Callable[[], bool],
        tick: Callable[[], None] = lambda: None,
        timeout: float = 600.0,
        allowed_to_end: _Process | None = None,
    ) -> None:
        """
        Wait until the condition holds.

        :raises Failed: a program has ended, or it takes too long.
        """
        until = time.monotonic() + timeout
        while not condition():
            for process in list(self._running):
                if process is allowed_to_end or process.popen.poll() is None:
                    continue
                if process.name not in self.restarts:
                    raise Failed(_last_words(process))
                self._running.remove(process)
                self.restarted.append(process.name)
                self.restarts[process.name]()
            if time.monotonic() > until:
                raise Failed(f"Nothing for {timeout:.0f} s.\n" + "\n".join(map(_last_words, self._running)))
            self.tick()
            tick()
            time.sleep(0.1)


def _signal(popen: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(popen.pid, number)
    except (ProcessLookupError, PermissionError):
        popen.poll()


def _last_words(process: _Process) -> str:
    lines = process.log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
    code = process.popen.poll()
    ended = "is still running" if code is None else f"ended with {code}"
    return "\n".join([f"`{process.name}` {ended}. The end of {process.log}:", *(f"  | {line[:300]}" for line in lines)])


@dataclass(frozen=True)
class SandboxAddress:
    """
    Where the sandbox is.

    :param airflow_connection: the connection to it, as Airflow's JSON.
    """

    url: str
    airflow_connection: str

    def outbox(self, limit: int | None = None) -> Any:
        """Return the SMS that it received; see ``GET /__outbox``."""
        return get_json(f"{self.url}/__outbox" + (f"?limit={limit}" if limit is not None else ""))


def start_sandbox(
    processes: Processes, work: Path, faults: Sequence[str], seed: int, port: int = 0, *options: str
) -> SandboxAddress:
    """Start the sandbox and wait until it listens."""
    ready = work / "sandbox.json"
    command = ["airflow_provider_omnichat.sandbox", f"--port={port}", f"--seed={seed}", f"--ready-file={ready}"]
    command += ["--verbose", *options, *(f"--fault={fault}" for fault in faults)]
    processes.start("sandbox", command, work, dict(os.environ))
    processes.wait_for(ready.exists, timeout=30)
    said = json.loads(ready.read_text())
    return SandboxAddress(said["url"], said["airflow_conn"])
