"""The table of what works on which Airflow: of a run of the whole matrix, with the constraints that are there."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from tests.support.folders import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text()
TABLE = PAGE.partition("<!-- made by `make matrix` -->")[2].partition("<!-- end of what `make matrix` makes -->")[0]
HEAD, RULE, *ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.strip().splitlines()]


def matrix() -> list[str]:
    found = re.search(r"^MATRIX := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    return found[1].split()


def pinned(name: str) -> str:
    """Give the Airflow of a set of constraints, as the table has it."""
    file = ROOT / "constraints" / f"{name if name == 'lowest' else f'airflow-{name}'}.txt"
    found = re.search(r"^apache-airflow==(\S+)$", file.read_text(), re.MULTILINE)
    assert found
    more = {"pre": " (pre-release)", "lowest": " with the lowest libraries"}
    return found[1] + more.get(name, "")


def test_it_has_every_airflow_of_the_matrix_as_it_is_pinned_today() -> None:
    assert [row[0] for row in ROWS] == [pinned(name) for name in matrix()]


def test_it_is_well_formed() -> None:
    assert HEAD[0] == "Airflow"
    assert set(RULE) == {"---"}
    assert {len(line) for line in (HEAD, RULE, *ROWS)} == {len(HEAD)}
    for row in ROWS:
        assert all(row)
        assert date.fromisoformat(row[-1]) <= datetime.now(UTC).date()


def test_nothing_fails_on_an_airflow_that_is_released() -> None:
    assert [row[0] for row in ROWS if "fails" in "".join(row) and "pre-release" not in row[0]] == []
