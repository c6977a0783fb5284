"""Directories and databases for results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_omnichat.campaign.results.files import ResultFiles
from tests.support.result_files import FORMATS
from tests.support.result_rows import key_of
from tests.support.result_tables import Sink, sinks
from tests.support.sql_connections import Database


@pytest.fixture(params=["local", "memory"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A directory on the local file system, and one on something like object storage."""
    if request.param == "local":
        return tmp_path / "results" / "run 1"
    upath = pytest.importorskip("upath")
    return upath.UPath(f"memory://results{tmp_path}")


@pytest.fixture(params=FORMATS)
def files(request: pytest.FixtureRequest, directory: Any) -> Callable[..., ResultFiles]:
    def open_files(try_number: int = 1, **options: Any) -> ResultFiles:
        options = {"format": request.param, "key_column": "customer_id", **options}
        return ResultFiles(directory, try_number=try_number, recipient_of=key_of, **options)

    return open_files


@pytest.fixture
def table() -> str:
    return f"results_{uuid4().hex[:8]}"


@pytest.fixture
def sink(database: Database, table: str) -> Iterator[Sink]:
    """Make the sink of a try; its connections are closed after the test."""
    yield from sinks(database, table)


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    return Database("sqlite3", {"database": str(tmp_path / "results.db"), "check_same_thread": False})


@pytest.fixture
def on_sqlite(sqlite: Database, table: str) -> Iterator[Sink]:
    yield from sinks(sqlite, table)
