"""The command ``omnichat-sandbox``."""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
from typing import TYPE_CHECKING

from airflow_provider_omnichat.sandbox.account import Account
from airflow_provider_omnichat.sandbox.announcement import request_line, start_block, summary, write_ready_file
from airflow_provider_omnichat.sandbox.app import listen
from airflow_provider_omnichat.sandbox.journal import Journal
from airflow_provider_omnichat.sandbox.options import Command, read_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_omnichat.sandbox.outbox import Receipt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox until SIGINT or SIGTERM.

    :param arguments: the command line; that of the process when not given
    :return: 0 after a clean stop, 1 when the sandbox could not start
    """
    command = read_options(arguments)
    try:
        asyncio.run(_serve(command))
    except OSError as error:
        print(f"omnichat-sandbox: {_reason(error, command)}", file=sys.stderr)
        return 1
    return 0


async def _serve(command: Command) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    account = Account(command.settings, command.plan)
    if command.verbose:
        account.listeners.append(_print_line)
    with Journal(account):
        runner, port = await listen(account)
        try:
            if not command.quiet:
                print(start_block(command.settings, command.plan, port), flush=True)
            if command.ready_file is not None:
                write_ready_file(command.ready_file, command.settings, port)
            await stopping.wait()
        finally:
            await runner.cleanup()
            if command.ready_file is not None:
                command.ready_file.unlink(missing_ok=True)
    if not command.quiet:
        print(summary(account.outbox.totals()), flush=True)


def _print_line(receipt: Receipt) -> None:
    print(request_line(receipt), flush=True)


def _reason(error: OSError, command: Command) -> str:
    settings = command.settings
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} on {settings.host} is in use; choose another with --port (0 takes a free one)"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
