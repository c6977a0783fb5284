"""
Shows what a killed worker and an outage of the ledger leave behind, with Celery, Redis and PostgreSQL.

    make proof-outage                                       20,000 invites
    make proof-outage OUTAGE_ARGS="--invites 2000"          a quick look
    make proof-outage OUTAGE_ARGS="--code ../before"        with the provider of another checkout

The server takes 150 invites a second, and fails now and then. When a fifth is accepted, one of the two workers is
killed, and started again; when half is, PostgreSQL with the ledger is stopped for four seconds.
Logs are in .outage/run.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from types import FrameType

from demo_processes import Failed, Processes, SandboxAddress, Step, lock, start_sandbox
from outage_services import CeleryAirflow, PostgreSQL, database_home, ledger_connection, program
from outage_table import Judge

REPOSITORY = Path(__file__).resolve().parent.parent
FAULTS = ("429-retry-after:0.03:1", "503-retry-after:0.02:1", "drop-before:0.0035", "drop-after:0.0035")
SEED = 11
ALLOWED_PER_SECOND = 150
KILL_AT_SHARE = 0.2
OUTAGE_AT_SHARE = 0.5
WORKER_AWAY_SECONDS = 2
LEDGER_AWAY_SECONDS = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invites", type=int, default=20_000, metavar="N", help="how many people (default 20000)")
    parser.add_argument("--code", type=Path, default=REPOSITORY, metavar="DIR", help="a checkout with the provider")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    work = REPOSITORY / ".outage" / "run"
    try:
        for name in ("redis-server", "initdb", "postgres"):
            program(name)
        with lock(work.with_suffix(".lock")), database_home() as databases, Processes() as processes:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            return run(processes, work, databases, options.invites, options.code.resolve())
    except Failed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130


def run(processes: Processes, work: Path, databases: Path, invites: int, code: Path) -> int:
    people = work / "people.csv"
    rows = (f"+4179{3_000_000 + position},Person {position}\n" for position in range(invites))
    people.write_text("to,name\n" + "".join(rows))
    outbox = work / "outbox.jsonl"
    with Step("Sandbox, Redis, PostgreSQL") as step:
        sandbox_options = [f"--rate-limit={ALLOWED_PER_SECOND}", f"--outbox-file={outbox}", "--keep=10"]
        sandbox = start_sandbox(processes, work, FAULTS, SEED, 0, *sandbox_options)
        metadata = PostgreSQL("metadata", processes, work, databases)
        ledger = PostgreSQL("ledger", processes, work, databases)
        airflow = CeleryAirflow(processes, work, metadata, code)
        airflow.environment |= {
            "AIRFLOW_CONN_OMNICHAT_DEFAULT": sandbox.airflow_connection,
            "AIRFLOW_CONN_LEDGER": ledger_connection(ledger),
            "OUTAGE_PEOPLE": str(people),
        }
        step.says = sandbox.url
    judge = Judge(metadata, ledger, outbox, invites)
    with closing(airflow):
        send(processes, sandbox, airflow, ledger, judge)
    return 0 if judge.print_table() else 1


def send(
    processes: Processes, sandbox: SandboxAddress, airflow: CeleryAirflow, ledger: PostgreSQL, judge: Judge
) -> None:
    """Let Airflow send the campaign, and do to it what is shown."""
    with Step("Airflow with two workers") as step:
        airflow.start()
        wait_until_accepted(processes, sandbox, step, 1)
    with Step(f"The worker of send_left is killed at {KILL_AT_SHARE:.0%}") as step:
        wait_until_accepted(processes, sandbox, step, int(KILL_AT_SHARE * judge.invites))
        airflow.kill_worker("left")
        step.says = f"{judge.note_kill('send_left')} claims are open"
        time.sleep(WORKER_AWAY_SECONDS)
        airflow.start_worker("left")
    with Step(f"The ledger goes away at {OUTAGE_AT_SHARE:.0%}") as step:
        wait_until_accepted(processes, sandbox, step, int(OUTAGE_AT_SHARE * judge.invites))
        ledger.stop_at_once()
        time.sleep(LEDGER_AWAY_SECONDS)
        ledger.start()
    with Step("The end") as step:
        processes.wait_for(judge.has_ended, lambda: step.wait(progress(sandbox)), timeout=3600)


def wait_until_accepted(processes: Processes, sandbox: SandboxAddress, step: Step, count: int) -> None:
    """Wait until the sandbox has accepted so many."""
    processes.wait_for(
        lambda: sandbox.outbox(0)["totals"]["accepted"] >= count, lambda: step.wait(progress(sandbox)), timeout=1800
    )


def progress(sandbox: SandboxAddress) -> str:
    """Return how many SMS the sandbox has accepted."""
    return f"{sandbox.outbox(0)['totals']['accepted']} accepted"


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
