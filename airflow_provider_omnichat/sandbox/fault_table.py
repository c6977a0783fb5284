"""The fault table as people read it: in ``--help`` and in the docs."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from airflow_provider_omnichat.sandbox.faults import FAULTS

if TYPE_CHECKING:
    from airflow_provider_omnichat.sandbox.faults import Fault

_HEAD = "faults (RATE: share of invites that meet it, 0 to 1, 1 unless given; +: the invite is accepted):"


def as_text() -> str:
    """Return the table for a terminal."""
    width = max(60, min(shutil.get_terminal_size().columns, 120))
    lines = [_HEAD]
    for fault in FAULTS.values():
        argument = f" (ARG: {_argument(fault)})" if fault.argument else ""
        head = f"  {'+' if fault.accepted else ' '} {fault.name}"
        lines.append(textwrap.fill(f"{head:26}{fault.does}{argument}", width, subsequent_indent=" " * 26))
    return "\n".join(lines)


def as_markdown() -> str:
    """Return the table for the docs."""
    rows = ["| fault | what the client sees | ARG | accepted |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{fault.name}` | {fault.does} | {_argument(fault)} | {'**yes**' if fault.accepted else 'no'} |"
        for fault in FAULTS.values()
    ]
    return "\n".join(rows)


def _argument(fault: Fault) -> str:
    return f"{fault.argument}, default {fault.default or 'this server'}" if fault.argument else ""
