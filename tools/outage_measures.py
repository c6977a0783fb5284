"""What the outage proof measures while it runs: the vendor's log, the load of the ledger, processor and memory."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg2
from outage_services import PostgreSQL, worker_name

if TYPE_CHECKING:
    from demo_processes import Processes

_SAMPLE_EVERY_SECONDS = 1.0
_BEST_SECONDS = 10
_BUSY = 50
MIB = 2**20


class Outbox:
    """
    The vendor's log of invite requests, read as it grows; it says who would have got an SMS.

    :param path: a JSON line for each request.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._in_second: Counter[int] = Counter()
        self.accepted: Counter[str] = Counter()
        self.requests = 0
        self.refused = 0
        self.broken = 0
        self.suppressed = 0
        self.began = self.ended = 0.0

    def read(self) -> int:
        """Read what is new; return how many invites were accepted until now."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._read_bytes)
            whole, newline, _ = file.read().rpartition(b"\n")
            self._read_bytes += len(whole) + len(newline)
            for line in whole.splitlines():
                self._add(json.loads(line))
        return self.accepted.total()

    def _add(self, request: Mapping[str, Any]) -> None:
        at = datetime.fromisoformat(request["time"]).timestamp()
        self.began, self.ended = self.began or at, at
        self.requests += 1
        self.refused += request["http_status"] == 429
        self.broken += request["http_status"] is None
        self.suppressed += request.get("suppressed", False)
        if request["accepted"]:
            self.accepted[str(request["to"])] += 1
            self._in_second[int(at)] += 1

    @property
    def is_busy(self) -> bool:
        """Whether many invites are accepted at this moment."""
        last = int(time.time()) - 1
        return self._in_second[last] >= _BUSY and self._in_second[last - 1] >= _BUSY

    @property
    def seconds(self) -> float:
        """From the first request to the last."""
        return max(self.ended - self.began, 0.001)

    @property
    def best(self) -> float:
        """Accepted a second in the best ten seconds."""
        sums = (sum(self._in_second[first + i] for i in range(_BEST_SECONDS)) for first in self._in_second)
        return max(sums, default=0) / _BEST_SECONDS


@dataclass
class Usage:
    """
    What one kind of process has used.

    :param cpu: seconds by process.
    :param largest: bytes of the largest process.
    :param together: bytes of all of them at once, at the most; pages that they share count once.
    """

    cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    largest: int = 0
    together: int = 0

    @property
    def seconds(self) -> float:
        """Processor time of all of them."""
        return sum(self.cpu.values())


class Measures:
    """
    Samples, each second in which :meth:`look` is called.

    The counters of PostgreSQL and of processes begin anew when these are killed; what they counted in the last second
    before it is lost.
    """

    def __init__(self, processes: Processes, ledger: PostgreSQL, outbox: Outbox) -> None:
        self._processes = processes
        self._ledger = ledger
        self._last = 0.0
        self._commits_seen = 0
        self._first_wal: int | None = None
        self.outbox = outbox
        self.commits = 0
        self.wal_bytes = 0
        self.usage: dict[str, Usage] = defaultdict(Usage)

    def look(self) -> None:
        """Take a sample, unless the last one is too recent."""
        self.outbox.read()
        now = time.monotonic()
        if now - self._last < _SAMPLE_EVERY_SECONDS:
            return
        self._last = now
        with suppress(psycopg2.OperationalError):  # it is down
            self._look_at_ledger()
        self._look_at_processes()

    def _look_at_ledger(self) -> None:
        sql = (
            "SELECT xact_commit, pg_current_wal_lsn() - '0/0'::pg_lsn FROM pg_stat_database"
            " WHERE datname = current_database()"
        )
        ((commits, wal_bytes),) = self._ledger.query(sql)
        if self._first_wal is None:
            self._first_wal, self._commits_seen = int(wal_bytes), commits
        self.wal_bytes = int(wal_bytes) - self._first_wal
        self.commits += commits - (self._commits_seen if commits >= self._commits_seen else 0)
        self._commits_seen = commits

    def _look_at_processes(self) -> None:
        names = self._processes.pids()
        children = defaultdict(list)
        for process in psutil.process_iter(["ppid"]):
            children[process.info["ppid"]].append(process)
        workers = {worker_name("left"), worker_name("right")}
        together: Counter[str] = Counter()
        for pid, name in names.items():
            with suppress(psutil.NoSuchProcess):
                level, depth = [psutil.Process(pid)], 0
                while level:
                    # Celery's process starts one for each slot, and that one for each task.
                    role = ("workers" if depth < 2 else "tasks") if name in workers else name
                    for process in level:
                        self._add(role, process, together)
                    level, depth = [child for process in level for child in children[process.pid]], depth + 1
        for role, size in together.items():
            self.usage[role].together = max(self.usage[role].together, size)

    def _add(self, role: str, process: psutil.Process, together: Counter[str]) -> None:
        usage = self.usage[role]
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            times = process.cpu_times()
            usage.cpu[process.pid, process.create_time()] = times.user + times.system
            memory = process.memory_full_info()
            usage.largest = max(usage.largest, memory.rss)
            together[role] += memory.pss
