"""
Shows what kills and outages leave behind, with Celery, Redis and PostgreSQL.

    make proof-outage                                       100,000 invites
    make proof-outage OUTAGE_ARGS="--invites 2000"          a quick look
    make proof-outage OUTAGE_ARGS="--code ../before"        with the provider of another checkout
    make proof-outage OUTAGE_ARGS="--own-link"              by the SMS API, with ids of ours

Eight mapped tasks on two workers send one list to an account that takes 2,000 invites a second, refuses a few and
breaks a connection now and then. Meanwhile the DAG is triggered again, a worker, Airflow's API server, the PostgreSQL
of the ledger and Redis are killed and started again, and the vendor is away for 20 seconds. Ends with 1 if a promise
was broken, with 2 if a kill left more in doubt than it should. Logs are in .outage/run.

With --own-link, the vendor recognises its message ids, in its logs only, and hangs for 20 seconds instead of being
killed: it keeps ids in memory. Then nobody may be in doubt at the end, without anybody settling it.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from types import FrameType

from demo_processes import Failed, Processes, Step, lock
from outage_measures import Measures, Outbox
from outage_services import (
    CeleryAirflow,
    PostgreSQL,
    Redis,
    Vendor,
    database_home,
    ledger_connection,
    program,
    worker_name,
)
from outage_table import Judge

REPOSITORY = Path(__file__).resolve().parent.parent
VENDOR = (
    *("--rate-limit=2000", "--latency=0.02-0.06", "--seed=11"),
    *("--fault=429-retry-after:0.01:1", "--fault=503-retry-after:0.01:1"),
    *("--fault=drop-before:0.0002", "--fault=drop-after:0.0002"),
)
OWN_LINK = ("--repeated-ids=late", "--id-grace=3600", "--delivery-after=1-3")
# Short time-outs, so that a vendor that hangs leaves doubts, of which it has taken some.
OWN_LINK_EXTRA = {
    "application_key": None,
    "integration_type": None,
    "timeout": 5,
    "idempotent_sending": True,
    "idempotency_grace": 3600,
    "log_delay": 15,
}
CONNECTIONS = 32
AWAY_SECONDS = 4
VENDOR_AWAY_SECONDS = 20
HEARTBEAT_TIMEOUT_SECONDS = 60
MOST_SECONDS = 3600
RUNS = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invites", type=int, default=100_000, metavar="N", help="how many people (default 100000)")
    parser.add_argument("--code", type=Path, default=REPOSITORY, metavar="DIR", help="a checkout with the provider")
    parser.add_argument("--own-link", action="store_true", help="by the SMS API, with idempotent sending")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    work = REPOSITORY / ".outage" / "run"
    try:
        for name in ("redis-server", "initdb", "postgres"):
            program(name)
        with lock(work.with_suffix(".lock")), database_home() as databases, Processes() as processes:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            return run(processes, work, databases, options.invites, options.code.resolve(), options.own_link)
    except Failed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130


def run(processes: Processes, work: Path, databases: Path, invites: int, code: Path, has_own_link: bool) -> int:
    people = work / "people.csv"
    rows = (f"+4179{3_000_000 + position},Person {position}\n" for position in range(invites))
    people.write_text("to,name\n" + "".join(rows))
    with Step("Sandbox, Redis, PostgreSQL"):
        if has_own_link:
            vendor = Vendor(processes, work, (*VENDOR, *OWN_LINK, f"--keep={4 * invites}"), OWN_LINK_EXTRA)
        else:
            vendor = Vendor(processes, work, (*VENDOR, "--keep=10"))
        vendor.start()
        redis = Redis(processes, work)
        metadata = PostgreSQL("metadata", processes, work, databases)
        ledger = PostgreSQL("ledger", processes, work, databases)
    airflow = CeleryAirflow(processes, work, metadata, redis, code, HEARTBEAT_TIMEOUT_SECONDS)
    airflow.environment |= {
        "AIRFLOW_CONN_OMNICHAT_DEFAULT": vendor.connection,
        "AIRFLOW_CONN_LEDGER": ledger_connection(ledger),
        "OUTAGE_PEOPLE": str(people),
        "OUTAGE_CONNECTIONS": str(CONNECTIONS),
        "OUTAGE_OWN_LINK": "yes" if has_own_link else "",
    }
    measures = Measures(processes, ledger, Outbox(vendor.outbox))
    judge = Judge(metadata, ledger, measures, invites, CONNECTIONS, has_own_link)
    with closing(airflow):
        with Step("Airflow with two workers"):
            airflow.start()
        course = Course(processes, judge)
        course.trigger(airflow, "first", 0)
        course.trigger(airflow, "second", 0.02)
        left = worker_name("left")
        course.kill(left, 0.2, lambda: airflow.start_worker("left"), task="send_left")
        course.kill(ledger.name, 0.3, ledger.start)
        course.kill(redis.name, 0.4, redis.start)
        if has_own_link:
            course.hang(vendor.name, 0.5, VENDOR_AWAY_SECONDS)
        else:
            course.kill(vendor.name, 0.5, vendor.start, VENDOR_AWAY_SECONDS)
        course.kill("api-server", 0.6, airflow.start_api_server)
        course.end()
    verdict = judge.print_report()
    print(f"Ended by themselves, and started again: {', '.join(processes.restarted) or 'none'}.")
    return verdict


class Course:
    """What is done to the campaign, each when a share of the list is accepted."""

    def __init__(self, processes: Processes, judge: Judge) -> None:
        self._processes = processes
        self._judge = judge
        processes.tick = judge.measures.look

    def trigger(self, airflow: CeleryAirflow, run_id: str, share: float) -> None:
        """Trigger the DAG."""
        with Step(f"{share:4.0%} The DAG is triggered: {run_id}") as step:
            self._wait_until_accepted(share, step)
            airflow.trigger(run_id, step.wait)
            self._judge.note(f"the DAG is triggered: {run_id}")

    def kill(
        self, name: str, share: float, start: Callable[[], None], away_seconds: float = AWAY_SECONDS, task: str = ""
    ) -> None:
        """
        Kill a program and start it again.

        :param task: the tasks that are killed with it.
        """
        self._take_away("killed", name, share, lambda: self._processes.kill(name), start, away_seconds, task)

    def hang(self, name: str, share: float, away_seconds: float) -> None:
        """Let a program hang, which takes requests then and answers none, and go on."""
        halt, go_on = (
            partial(self._processes.send_signal, name, number) for number in (signal.SIGSTOP, signal.SIGCONT)
        )
        self._take_away("hangs", name, share, halt, go_on, away_seconds)

    def _take_away(
        self,
        how: str,
        name: str,
        share: float,
        end: Callable[[], None],
        start: Callable[[], None],
        away_seconds: float,
        task: str = "",
    ) -> None:
        with Step(f"{share:4.0%} {how.capitalize()}: {name}") as step:
            self._wait_until_accepted(share, step)
            if self._judge.runs_ended(RUNS):
                step.says = "not done: a short list is over before"
                return
            event = self._judge.note(f"{how} for {away_seconds:g} s: {name}")
            end()
            if name != self._judge.ledger.name:
                step.says = self._judge.note_kill(event, task)
            until = time.monotonic() + away_seconds
            self._processes.wait_for(lambda: time.monotonic() >= until)
            start()
            if name == self._judge.ledger.name:
                step.says = self._judge.note_kill(event, task)
            self._judge.note(f"up again: {name}")

    def end(self) -> None:
        """Wait until all runs of the DAG are over."""
        with Step("The end") as step:
            self._processes.wait_for(
                lambda: self._judge.runs_ended(RUNS), lambda: step.wait(self._progress()), timeout=MOST_SECONDS
            )

    def _wait_until_accepted(self, share: float, step: Step) -> None:
        """Wait until a share of the list is accepted, and more is being sent."""
        goal, outbox = share * self._judge.invites, self._judge.measures.outbox

        def is_sending() -> bool:
            return outbox.read() >= goal and (not goal or outbox.is_busy or self._judge.runs_ended(RUNS))

        self._processes.wait_for(is_sending, lambda: step.wait(self._progress()), timeout=MOST_SECONDS)

    def _progress(self) -> str:
        return f"{self._judge.measures.outbox.read():,} accepted"


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
