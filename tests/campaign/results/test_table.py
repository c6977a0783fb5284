from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.place import Place
from airflow_provider_omnichat.campaign.results import table as result_table
from airflow_provider_omnichat.campaign.results.table import COLUMNS, ResultSchema
from tests.support.reasons import why
from tests.support.result_rows import give, key_of, made
from tests.support.result_tables import BATCH, expected, rows

FULL = made(
    3,
    Outcome.REJECTED,
    message_id="m-3",
    status_id=52,
    status_group=5,
    status_name="REJECTED_DESTINATION",
    message_count=2,
    attempts=1,
    reason=why('Invalid, "really"; it\'s 100% so', ReasonCode.HTTP_REJECTED),
)


def test_a_row_has_its_values_in_named_columns(sink, database, table):
    writing: Place = sink(try_number=4)
    assert writing.earlier() == {}
    writing.write(give(FULL))
    writing.close()
    (row,) = database.run(f"SELECT {', '.join(COLUMNS)} FROM {table}")
    values = dict(zip(COLUMNS, row, strict=True))
    assert values.pop("try_id").startswith("4-")
    at = values.pop("ended_at")
    assert (at if isinstance(at, datetime) else datetime.fromisoformat(at)) == datetime.fromisoformat(
        "2026-07-30T12:00:00.250"
    )
    assert values == {
        "batch": BATCH,
        "list_row": 3,
        "row_key": "c3",
        "recipient": "41793020003",
        "outcome": "rejected",
        "message_id": "m-3",
        "status_group": 5,
        "status_id": 52,
        "status_name": "REJECTED_DESTINATION",
        "message_count": 2,
        "attempts": 1,
        "reason_code": "http_rejected",
        "error": 'Invalid, "really"; it\'s 100% so',
    }
    assert writing.location == f"table {table} of connection warehouse"


def test_many_rows_arrive_each_once(sink, database, table):
    results = [made(position, random.choice([Outcome.ACCEPTED, Outcome.INVALID])) for position in range(1, 1302)]
    writing = sink()
    writing.earlier()
    for start in range(0, len(results), 300):
        writing.write(give(*results[start : start + 300]))
    writing.close()
    assert rows(database, table) == expected(*results)


def test_what_no_column_takes_is_made_to_fit(sink, database, table):
    odd = made(
        1,
        Outcome.UNKNOWN,
        to="+41 (0)79 \x00x" + "9" * 100,
        key="k" * 2000 + "\ud800",
        message_id="m" * 400,
        status_id=2**40,
        reason=why("e" * 2000),
    )
    writing = sink(batch="b" * 400)
    writing.earlier()
    writing.write([(None, odd), (None, made(2, Outcome.INVALID, to="", key=None))])
    writing.close()
    found = database.run(f"SELECT batch, row_key, message_id, status_id, error FROM {table} ORDER BY list_row")
    assert [len(str(value)) for value in found[0]] == [250, 1000, 255, len("None"), 1000]
    assert found[1][1] is None
    assert sink(batch="b" * 400).earlier() == {}, "a long name means the same in the next try"


# tries


def test_a_later_try_knows_what_stands_and_replaces_the_rest(sink, database, table):
    first = sink()
    first.earlier()
    first.write(give(made(1), made(2, Outcome.REJECTED), made(3, Outcome.NOT_SENT), made(4, Outcome.UNKNOWN)))
    first.write([(None, made(5, Outcome.INVALID, to="")), (None, made(6, Outcome.DUPLICATE, to="41793020001"))])
    first.close(whole=True)
    second = sink(2)
    known = second.earlier()
    assert dict(known) == {key_of("41793020001"): Outcome.ACCEPTED, key_of("41793020002"): Outcome.REJECTED}
    again = [
        made(3),
        made(4, Outcome.UNKNOWN),
        made(5, Outcome.INVALID, to=""),
        made(6, Outcome.DUPLICATE, to="41793020001"),
    ]
    second.write(give(*again))
    second.close(whole=True)
    assert rows(database, table) == expected(made(1), made(2, Outcome.REJECTED), *again)


def test_a_try_that_was_not_whole_leaves_the_rest_of_earlier_ones(sink, database, table):
    first = sink()
    first.earlier()
    first.write(give(made(1, Outcome.NOT_SENT), made(2, Outcome.NOT_SENT)))
    first.close(whole=True)
    second = sink(2)
    second.earlier()
    second.write(give(made(1)))
    second.close(whole=False)
    assert rows(database, table) == expected(made(1), made(2, Outcome.NOT_SENT))


def test_a_list_that_lost_rows_leaves_none_of_them(sink, database, table):
    first = sink()
    first.earlier()
    first.write(give(made(1), made(2, Outcome.NOT_SENT), made(3, Outcome.INVALID)))
    first.close(whole=True)
    second = sink(2)
    second.earlier()
    second.write(give(made(2)))
    second.close(whole=True)
    assert rows(database, table) == expected(made(1), made(2))


@pytest.mark.parametrize("stands_first", [True, False], ids=["a decided row's place", "an undecided row's place"])
def test_a_query_in_another_order_loses_nobody_on_the_way_and_ends_with_each_once(sink, database, table, stands_first):
    first = sink()
    first.earlier()
    ada, bob, cy = "41790000001", "41790000002", "41790000003"
    first.write(give(made(1, to=ada), made(2, Outcome.NOT_SENT, to=bob), made(3, Outcome.NOT_SENT, to=cy)))
    first.close(whole=True)
    second = sink(2)
    assert list(second.earlier()) == [key_of(ada)]
    for place, to in ((1, cy), (2, bob)) if stands_first else ((2, cy), (1, bob)):
        second.write(give(made(place, to=to)))
        on_the_way = {to for _, to, _ in rows(database, table)}
        assert on_the_way == {ada, bob, cy}, "and in particular not the one whose place it was"
    second.close(whole=True)
    assert Counter(to for _, to, _ in rows(database, table)) == {ada: 1, bob: 1, cy: 1}


def test_other_batches_are_left_alone(sink, database, table):
    for batch in (BATCH, "dag/run/other"):
        writing = sink(batch=batch)
        assert writing.earlier() == {}
        writing.write(give(made(1, Outcome.NOT_SENT), made(2)))
        writing.close()
    again = sink(2)
    again.earlier()
    again.write(give(made(1)))
    again.close(whole=True)
    assert rows(database, table, "dag/run/other") == expected(made(1, Outcome.NOT_SENT), made(2))


def test_a_twin_that_runs_at_the_same_time_keeps_its_rows(on_sqlite, sqlite, table):
    first, twin = on_sqlite(), on_sqlite()
    first.earlier()
    twin.earlier()
    twin.write(give(made(2, Outcome.NOT_SENT)))
    first.write(give(made(1, Outcome.NOT_SENT)))
    first.close(whole=True)
    assert (2, "41793020002", "not_sent") in rows(sqlite, table)
    twin.close()


@pytest.mark.parametrize("seed", range(12))
def test_killed_between_any_two_statements_each_row_is_there_once_in_the_end(
    seed, on_sqlite, sqlite, table, monkeypatch
):
    """Some tries, each killed at a random statement or ended; the last one ends. No row is lost at any moment."""
    chance = random.Random(seed)
    people = {position: f"41790000{position:03d}" for position in range(1, 60)}
    monkeypatch.setattr(result_table, "_DELETE_ROWS", 7)
    seen: set[int] = set()
    for number in range(1, 9):
        last = number == 8
        fuse = Fuse(None if last else chance.randrange(4, 40))
        writing = on_sqlite(number, wrapped=fuse.wrap)
        try:
            known = writing.earlier()
            left = [place for place in people if key_of(people[place]) not in known]
            while left:
                block, left = left[:9], left[9:]
                outcomes = [Outcome.ACCEPTED if last else chance.choice(list(Outcome)) for _ in block]
                writing.write(
                    give(*(made(place, outcome, people[place]) for place, outcome in zip(block, outcomes, strict=True)))
                )
            writing.close()
        except Killed:
            pass
        finally:
            fuse.close()
        found = rows(sqlite, table) if sqlite.run(f"SELECT 1 FROM sqlite_master WHERE name = '{table}'") else []
        places = Counter(place for place, _, _ in found)
        assert set(places) >= seen, "a row that was there is there"
        assert set(places.values()) <= {1}, "and once"
        seen = set(places)
    assert seen == set(people)


class Killed(BaseException):
    pass


class Fuse:
    """Ends a process at the n-th statement or commit, as SIGKILL does: what was not committed is gone."""

    def __init__(self, statements: int | None) -> None:
        self._left = statements
        self._connections: list[Any] = []

    def wrap(self, connection: sqlite3.Connection) -> Any:
        self._connections.append(connection)
        return _Fused(connection, self.burn)

    def burn(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                raise Killed

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class _Fused:
    def __init__(self, inner: Any, burn: Callable[[], None]) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_burn", burn)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "cursor":
            return lambda: _Fused(found(), self._burn)
        if name in ("execute", "executemany", "commit"):

            def call(*given: Any) -> Any:
                self._burn()
                return found(*given)

            return call
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)


@pytest.mark.parametrize("name", ["results", "mart.results", "db.mart.results_2026"])
def test_names_of_tables(name):
    assert f"TABLE {name} (" in ResultSchema(name, "other", "%s").create()


@pytest.mark.parametrize("name", ["", "a.b.c.d", "re sults", "a;b", 'x"; --', "2026", "a..b", "x" * 64])
def test_an_invalid_name_of_a_table_is_refused(name):
    with pytest.raises(ValueError, match="results_table must be"):
        ResultSchema(name, "other", "%s")


def test_the_page_shows_the_table_as_it_is_made():
    page = (Path(__file__).parents[3] / "docs/reference/results.md").read_text()
    assert f"```sql\n{ResultSchema('invited', 'postgresql', '%s').create()};\n```" in page
