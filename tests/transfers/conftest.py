"""A database with two people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.queried_people import people
from tests.support.sql_connections import Database, connected


@pytest.fixture
def sqlite(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    made = connected("sqlite3", request, tmp_path, monkeypatch)
    made.fill("people", "id mobile first_name", people(3))
    return made


@pytest.fixture
def two(sqlite: Database, at_sandbox: Any) -> Database:
    return sqlite
