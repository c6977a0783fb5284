"""Keeps Airflow's UI and the sandbox running, to play with."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from demo_processes import (
    Failed,
    Processes,
    SandboxAddress,
    Step,
    airflow_environment,
    database_connections,
    get_json,
    start_sandbox,
)

from airflow_provider_omnichat.hooks.connection_form import CONN_FIELDS

_PARTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


_WHAT_TO_TRY = """
Open
  {url}   Airflow, without a password
  {sandbox}   what the sandbox received

Try
  Dags > example_send_invite > Trigger: a form, one invite. Then clear the task send_invite: no second SMS.
  Dags > example_lifecycle_campaign: today's run has begun by itself; see send_invites, and its tab Invites.
  Browse > Invite campaigns: all of them.
  Dags > example_approved_campaign > Trigger: when its task approve waits, read and decide under Required Actions.
  Dags > example_mapped_invites > Trigger: one task for each customer.
  Dags > example_partitioned_campaign > Trigger: one list over four tasks, two at a time.
  Dags > example_delivery > Trigger: invites, and within a minute what became of them.
  Admin > Connections > omnichat_default: edit it, or test it with the button in the list.
Logs: {work}

Stop with Ctrl-C."""


def run_ui(processes: Processes, work: Path, repository: Path, faults: Sequence[str], seed: int) -> int:
    """Start everything, say what to click, and stay until Ctrl-C."""
    print("Demo: Airflow's UI beside the sandbox. No SMS goes out, and both listen on this machine only.\n")
    url, sandbox = start_ui(processes, work, repository / "example_dags", faults, seed)
    print(_WHAT_TO_TRY.format(url=url, sandbox=sandbox.url, work=work))
    processes.wait_for(lambda: False, timeout=float("inf"))
    return 0


def start_ui(
    processes: Processes, work: Path, dags: Path, faults: Sequence[str], seed: int, *sandbox_options: str
) -> tuple[str, SandboxAddress]:
    """Start a sandbox and an Airflow with all its parts; give their addresses when both work."""
    with Step("Sandbox, with a few faults") as step:
        sandbox = start_sandbox(processes, work, faults, seed, _free_port(8085), *sandbox_options)
        step.says = sandbox.url
    port = _free_port(8080)
    url = f"http://127.0.0.1:{port}"
    environment = airflow_environment(work, dags) | {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        # On a machine with much else to do, a server that answers after five seconds is not down.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "10",
        # Each DAG can be tried at once; the daily one begins with the run that is due.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    }
    with Step("Airflow's database") as step:
        processes.run("db migrate", ["airflow", "db", "migrate"], work, environment, step.wait)
    with Step("Connections, and a pool") as step:
        # In the database, not in the environment, so that they can be seen and changed in the UI.
        file = work / "connections.json"
        given = {"omnichat_default": sandbox.airflow_connection, **database_connections(work)}
        connections = {name: json.loads(connection) for name, connection in given.items()}
        # The form under *Edit* has the extra fields that are stored, and no others.
        defaults = {name: field["schema"].get("default") for name, field in CONN_FIELDS.items()}
        connections["omnichat_default"]["extra"] = defaults | connections["omnichat_default"]["extra"]
        file.write_text(json.dumps(connections))
        add = ["airflow", "connections", "import", str(file)]
        processes.run("connections import", add, work, environment, step.wait)
        pool = ["airflow", "pools", "set", "omnichat_senders", "2", "Invites side by side"]
        processes.run("pools set", pool, work, environment, step.wait)
    with Step("Airflow's UI, scheduler, DAGs") as step:
        for name, arguments in _PARTS.items():
            processes.start(name, ["airflow", *arguments], work, environment)
        processes.wait_for(lambda: _is_up(url), step.wait, timeout=180)
        step.says = url
    return url, sandbox


def _is_up(url: str) -> bool:
    try:
        health = get_json(f"{url}/api/v2/monitor/health")
        if any(health[part]["status"] != "healthy" for part in ("metadatabase", "scheduler", "dag_processor")):
            return False
        token = get_json(f"{url}/auth/token")["access_token"]
        broken = get_json(f"{url}/api/v2/importErrors", token)["import_errors"]
        dags = get_json(f"{url}/api/v2/dags", token)["total_entries"]
    except (OSError, ValueError):
        return False
    if broken:
        raise Failed(f"Airflow cannot load {broken[0]['filename']}:\n{broken[0]['stack_trace']}")
    return bool(dags)


def _free_port(wanted: int) -> int:
    """Return this port, or another if it is in use."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port")
