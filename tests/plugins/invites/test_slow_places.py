"""Where rows are slow to come, Airflow's own API goes on: no connection to the metadata database waits for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import HTTPException
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from airflow_provider_omnichat.campaign.model.pages import Page, PageQuery
from airflow_provider_omnichat.campaign.model.place import NoPlace, UnwrittenPlace
from airflow_provider_omnichat.plugins.invites import access, app, doubts, pages
from airflow_provider_omnichat.plugins.invites.rows import RowsWanted
from tests.support.plugin_tasks import sending

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NAMES: dict[str, Any] = {"dag_id": "invites", "run_id": "run", "task_id": "invite"}


class Rows(UnwrittenPlace):
    """Remembers how many connections were held while it was read."""

    location = "here"
    sorts = True

    def __init__(self, held: Callable[[], int]) -> None:
        self._held = held
        self.seen: list[int] = []

    def page(self, query: PageQuery) -> Page:
        self.seen.append(self._held())
        return Page([], None)


@pytest.fixture
def metadata() -> Engine:
    return create_engine("sqlite://", poolclass=QueuePool)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch, metadata: Engine) -> Rows:
    def tasks(session: Session, *_: object) -> list[Any]:
        session.execute(text("SELECT 1"))
        return [sending()]

    pool: Any = metadata.pool
    rows = Rows(pool.checkedout)
    monkeypatch.setattr(app, "tasks_of_run", tasks)
    monkeypatch.setattr(access, "may", lambda *_: False)
    for module in (app, pages):
        monkeypatch.setattr(module, "row_place", lambda _: rows)
    monkeypatch.setattr(pages, "doubts_of", lambda *_: doubts.Doubts([]))
    return rows


def test_the_tab_holds_no_connection_while_it_reads_rows(metadata: Engine, rows: Rows) -> None:
    user: Any = None
    with Session(metadata) as session:
        assert app.show_task(session, user, RowsWanted(), **NAMES).status_code == 200
    assert rows.seen == [0]


def test_a_download_holds_none(metadata: Engine, rows: Rows) -> None:
    with Session(metadata) as session:
        app.download_rows(session, app.sending_task(session, **NAMES), RowsWanted())
    assert rows.seen == [0]


@pytest.mark.parametrize(("unknown", "says"), [(0, ""), (2, "has no task state store")])
def test_without_a_ledger_and_a_state_store_only_real_doubts_are_a_problem(
    monkeypatch: pytest.MonkeyPatch, unknown: int, says: str
) -> None:
    monkeypatch.setattr(doubts, "has_state_store", lambda: False)
    task, session = sending(counts={"accepted": 9, "unknown": unknown}, rendered={"conn_id": "c"}), None
    assert task is not None
    problem = doubts.doubts_of(session, task, NoPlace()).problem  # type: ignore[arg-type]
    assert says in problem
    assert bool(problem) == bool(says)


@pytest.mark.parametrize("index", ["-2", str(2**31), str(2**70)])
def test_an_index_that_no_database_takes_is_not_found(index: str) -> None:
    with pytest.raises(HTTPException, match="404"):
        app._map_index(index)
    assert [app._map_index(text) for text in ("-1", "7", "{MAP_INDEX}", "")] == [-1, 7, None, None]
