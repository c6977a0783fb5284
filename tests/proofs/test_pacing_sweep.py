"""The pace in each case of the documentation's table."""

from __future__ import annotations

import pytest

from benchmarks.pace import Cell, cells, measure

pytestmark = pytest.mark.proof


def _name(cell: Cell) -> str:
    return "-".join(map(str, cell))


@pytest.mark.parametrize("cell", cells(), ids=_name)
def test_tasks_use_most_of_what_is_allowed_with_few_refusals(cell: Cell) -> None:
    found = measure(cell)
    assert found.used > 0.6
    # Two or three invites a second are too few to know soon that they are too many.
    most = 0.15 if (cell.tasks, cell.limit) == (4, 10) else 0.055
    assert found.refused < most
