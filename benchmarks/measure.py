"""What a stretch of work costs the process that does it."""

from __future__ import annotations

import gc
import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Cost:
    """
    What one run took.

    :param invites: sent.
    :param seconds: by the clock.
    :param cpu: seconds of the process, and of children that it waited for.
    :param peak: the most memory that the process held meanwhile, in MiB.
    :param before: what it held when it began, in MiB.
    """

    invites: int
    seconds: float
    cpu: float
    peak: float
    before: float


@contextmanager
def measured(invites: int, report: str) -> Iterator[None]:
    """
    Measure the body of the ``with``.

    :param invites: that it sends.
    :param report: the file that gets the :class:`Cost`, as a line of JSON.
    """
    gc.collect()
    _forget_peak()
    before, cpu, begin = _memory("VmRSS"), _cpu(), time.perf_counter()
    yield
    seconds = time.perf_counter() - begin
    append(report, Cost(invites, seconds, _cpu() - cpu, _memory("VmHWM"), before))


def whole_process(invites: int, report: str) -> None:
    """Report what this process took from its start; the time is left to others."""
    append(report, Cost(invites, 0.0, _cpu(), _memory("VmHWM"), 0.0))


def append(report: str, cost: Cost) -> None:
    with Path(report).open("a") as file:
        file.write(json.dumps(asdict(cost)) + "\n")


def read_report(report: Path) -> list[Cost]:
    """Give what was measured."""
    return [Cost(**json.loads(line)) for line in report.read_text().splitlines()]


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _forget_peak() -> None:
    """Start the peak anew, so that it is that of the sending and not of Airflow's start."""
    Path("/proc/self/clear_refs").write_text("5")


def _memory(field: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024
