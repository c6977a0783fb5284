"""What the command tells: the block at its start, the ready file, a line for each request, the summary."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_omnichat.sandbox.outbox import mask
from airflow_provider_omnichat.sandbox.settings import airflow_connection, base_address

if TYPE_CHECKING:
    from airflow_provider_omnichat.sandbox.fault_plan import FaultPlan
    from airflow_provider_omnichat.sandbox.outbox import Receipt, Totals
    from airflow_provider_omnichat.sandbox.settings import Settings


def start_block(settings: Settings, plan: FaultPlan, port: int) -> str:
    """Return the block that says where the sandbox is, who may enter, and how Airflow gets there."""
    ours = settings.credentials
    rows = [
        ("page", f"{base_address(settings.host)}:{port}/"),
        ("user, password", f"{ours.user}  {ours.password}"),
        ("API key", ours.api_key),
        ("OAuth2 client", f"{ours.client_id}  {ours.client_secret}"),
        ("application key", settings.application_key),
        ("integrations", ", ".join(settings.integration_types)),
    ]
    if plan.active:
        faults = ", ".join(f"{each.fault.name} {each.rate:.0%}" for each in plan.active)
        rows.append(("faults", f"{faults} (seed {plan.seed})"))
    connection = shlex.quote(airflow_connection(settings, port))
    lines = ["omnichat sandbox: takes invites, sends no SMS. Stop with Ctrl-C.", ""]
    lines += [f"  {name:16} {value}" for name, value in rows]
    lines += ["", "Airflow connection:", "", f"export AIRFLOW_CONN_OMNICHAT_DEFAULT={connection}", ""]
    return "\n".join(lines)


def request_line(receipt: Receipt) -> str:
    """Return one line about an invite request, with its number masked and without its text."""
    answer = str(receipt.http_status or "no answer")
    status = receipt.status.name if receipt.status else "-"
    fault = f" fault={receipt.fault}" if receipt.fault else ""
    return f"#{receipt.sequence} {mask(receipt.to)} {answer} {status}{fault}"


def summary(totals: Totals) -> str:
    """Return the last line: what came and what would have been sent."""
    return (
        f"stopped: {totals.requests} invite requests, {totals.accepted} accepted, "
        f"{totals.same_message_twice} numbers got the same message twice, {totals.several_messages} several messages"
    )


def write_ready_file(path: Path, settings: Settings, port: int) -> None:
    """Write what a script needs, in one step: whoever sees the file sees all of it. Only its owner can read it."""
    ours = settings.credentials
    content = {
        "url": f"{base_address(settings.host)}:{port}",
        "port": port,
        "user": ours.user,
        "password": ours.password,
        "api_key": ours.api_key,
        "client_id": ours.client_id,
        "client_secret": ours.client_secret,
        "application_key": settings.application_key,
        "integration_types": list(settings.integration_types),
        "pid": os.getpid(),
        "airflow_conn": airflow_connection(settings, port),
    }
    # mkstemp makes the file with mode 0600.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
