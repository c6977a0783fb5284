"""
Sends the example campaign to the sandbox with a real Airflow, and shows what became of it.

    make demo           one run, a table, and everything is stopped again
    make demo-ui        Airflow's UI and the sandbox's page, until Ctrl-C

Everything it makes is in .demo/, which it makes anew each time.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from demo_processes import (
    Failed,
    Processes,
    Step,
    airflow_environment,
    database_connections,
    example_database,
    lock,
    start_sandbox,
)
from demo_table import Result, print_result
from demo_ui import run_ui

REPOSITORY = Path(__file__).resolve().parent.parent
DAG = "example_lifecycle_campaign"
FAULTS = ("429-retry-after:0.05:1", "rejected:0.05:52", "rejected:0.04:10")
SEED = 54


def main() -> int:
    parser = argparse.ArgumentParser(description="Send the example campaign to the sandbox.")
    parser.add_argument("--ui", action="store_true", help="keep Airflow's UI and the sandbox running")
    ui = parser.parse_args().ui
    if importlib.util.find_spec("airflow") is None:
        print("There is no Airflow in this Python. `make demo` makes an environment that has it.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _end)
    work = REPOSITORY / ".demo" / ("ui" if ui else "run")
    try:
        with lock(work.with_suffix(".lock")), Processes() as processes:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            return run_ui(processes, work, REPOSITORY, FAULTS, SEED) if ui else run_once(processes, work)
    except Failed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130


def run_once(processes: Processes, work: Path) -> int:
    print("Demo: a campaign of SMS invites, sent to a sandbox. No SMS goes out, nothing leaves this machine.\n")
    begin = datetime.now(UTC)
    with Step("Sandbox, with a few faults") as step:
        sandbox = start_sandbox(processes, work, FAULTS, SEED)
        step.says = sandbox.url
    environment = airflow_environment(work, REPOSITORY / "example_dags")
    environment["AIRFLOW_CONN_OMNICHAT_DEFAULT"] = sandbox.airflow_connection
    for name, connection in database_connections(work).items():
        environment[f"AIRFLOW_CONN_{name.upper()}"] = connection
    with Step("Airflow's database") as step:
        processes.run("db migrate", ["airflow", "db", "migrate"], work, environment, step.wait)
    result = Result(example_database(work), sandbox)
    with Step(f"DAG {DAG}") as step:
        moment = f"{begin:%Y-%m-%dT%H:%M:%S}"
        processes.run(
            "dags test",
            ["airflow", "dags", "test", DAG, moment],
            work,
            environment,
            lambda: step.wait(result.progress()),
        )
        step.says = f"{result.progress()}, slowed down on purpose by the sandbox's faults"
    good = print_result(result)
    print(f"""
Where to look
  {_shown(result.database)}   the tables customers and invites
  {_shown(result.database.parent / "results")}   a row for each invite, as the operator wrote them
  {_shown(work / "dags-test.log")}   what Airflow said; numbers are masked
  make demo-ui   Airflow's UI and the sandbox's page, to play with

{"Done" if good else "Something does not add up; see above. Ended"} after {(datetime.now(UTC) - begin).seconds} s.""")
    return 0 if good else 1


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
