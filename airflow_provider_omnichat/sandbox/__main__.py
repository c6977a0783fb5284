"""The command ``omnichat-sandbox``, and what it prints."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from airflow_provider_omnichat.sandbox.account import Account
from airflow_provider_omnichat.sandbox.fault_plan import FaultPlan
from airflow_provider_omnichat.sandbox.options import Command, read_options
from airflow_provider_omnichat.sandbox.outbox import Receipt, mask
from airflow_provider_omnichat.sandbox.server import serving
from airflow_provider_omnichat.sandbox.settings import Settings, airflow_connection, base_address


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox until SIGINT or SIGTERM; return 0 after a clean stop, 1 when it could not start."""
    command = read_options(arguments)
    try:
        asyncio.run(_serve(command))
    except OSError as error:
        problem = str(error)
        if error.errno == errno.EADDRINUSE:
            where = f"port {command.settings.port} on {command.settings.host}"
            problem = f"{where} is in use; choose another with --port (0 takes a free one)"
        print(f"omnichat-sandbox: {problem}", file=sys.stderr)
        return 1
    return 0


async def _serve(command: Command) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    account = Account(command.settings, command.plan)
    if command.verbose:
        account.listeners.append(lambda receipt: print(_request_line(receipt), flush=True))
    async with serving(account) as port:
        if not command.quiet:
            print(_start_block(command.settings, command.plan, port), flush=True)
        try:
            if command.ready_file is not None:
                _write_ready_file(command.ready_file, command.settings, port)
            await stopping.wait()
        finally:
            if command.ready_file is not None:
                command.ready_file.unlink(missing_ok=True)
    if not command.quiet:
        totals = account.outbox.totals()
        print(
            f"stopped: {totals.requests} invite requests, {totals.accepted} accepted, {totals.same_message_twice}"
            f" numbers got the same message twice, {totals.several_messages} several messages",
            flush=True,
        )


def _start_block(settings: Settings, plan: FaultPlan, port: int) -> str:
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
        faults = ", ".join(f"{each.fault.name} {each.percentage}" for each in plan.active)
        rows.append(("faults", f"{faults} (seed {plan.seed})"))
    connection = shlex.quote(airflow_connection(settings, port))
    lines = ["omnichat sandbox: takes invites, sends no SMS. Stop with Ctrl-C.", ""]
    lines += [f"  {name:16} {value}" for name, value in rows]
    lines += ["", "Airflow connection:", "", f"export AIRFLOW_CONN_OMNICHAT_DEFAULT={connection}", ""]
    return "\n".join(lines)


def _request_line(receipt: Receipt) -> str:
    answer = str(receipt.http_status or "no answer")
    status = receipt.status.name if receipt.status else "-"
    fault = f" fault={receipt.fault}" if receipt.fault else ""
    return f"#{receipt.sequence} {mask(receipt.to)} {answer} {status}{fault}"


def _write_ready_file(path: Path, settings: Settings, port: int) -> None:
    """Write what a script needs, for the owner's eyes only, and in one step: a script sees all of the file or none."""
    content = {
        "url": f"{base_address(settings.host)}:{port}",
        "port": port,
        **asdict(settings.credentials),
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


if __name__ == "__main__":
    sys.exit(main())
