"""What the commands print, and ask, in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from airflow_provider_omnichat.campaign.results.format import one_line

_CELL_WIDTH = 60


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Print columns side by side; those in *right* are aligned to the right, as numbers are."""
    lines = [list(heads), *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print(("  " + "  ".join(cells)).rstrip())


def is_confirmed(question: str, yes: bool) -> bool:
    """Return whether to change something; without ``--yes`` a person in a terminal is asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        print("Nothing was changed. With --yes it is.", file=sys.stderr)
        return False
    if input(f"{question} [y/N] ").strip().lower() in ("y", "yes"):
        return True
    print("Nothing was changed.", file=sys.stderr)
    return False


def _cell(cell: object) -> str:
    text = " ".join(one_line(str("" if cell is None else cell)).split())
    return text if len(text) <= _CELL_WIDTH else text[: _CELL_WIDTH - 1] + "…"
