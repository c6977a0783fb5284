from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.campaign.model.names import TwoColumnsError, column_of
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row, RowSourceError
from airflow_provider_omnichat.campaign.rows.columns import Need, RowColumns
from airflow_provider_omnichat.campaign.rows.lists import ListedRows, rows_of_list
from airflow_provider_omnichat.campaign.rows.spool import Spool
from tests.support.reasons import why


def columns(*names: str) -> RowColumns:
    return RowColumns([Need(name, name, f"{name}_column") for name in names])


def read(items: Any, *names: str) -> list[Any]:
    rows = rows_of_list(items if isinstance(items, Iterator) else list(items))
    found = columns(*names).with_fields(rows, "invites")
    return [row.fields if isinstance(row, Row) else str(row.reason) for row in found]


# one column


@pytest.mark.parametrize(
    ("wanted", "names", "found"),
    [
        ("to", ["to", "To", "TO"], "to"),
        ("to", ["name", "To"], "To"),
        (" To ", ["name", "to"], "to"),
        ("to", ["\ufeffto", "name"], "\ufeffto"),  # what csv.DictReader makes of a byte order mark
        ("straße", ["STRASSE"], "STRASSE"),
        ("prénom", ["Pre\u0301nom"], "Pre\u0301nom"),
        ("country", ["Country\u00a0"], "Country\u00a0"),
        ("to", ["tо"], None),  # a Cyrillic letter  # noqa: RUF001
        ("to", ["t o", "to_", "2"], None),
        ("to", [1, None, ("to",), 2.5], None),
        (0, [0, 1], 0),
        (2, [0, 1], None),
        ("to", [], None),
    ],
)
def test_a_column_is_the_one_that_is_written_so_else_the_only_one_but_for_capitals(wanted, names, found):
    assert column_of(wanted, names) == found
    assert column_of(wanted, dict.fromkeys(names)) == found


@given(st.lists(st.text(max_size=6), max_size=6), st.text(max_size=6))
def test_no_column_is_found_that_is_not_there_and_none_of_two_is_guessed(names, wanted):
    try:
        found = column_of(wanted, names)
    except TwoColumnsError:
        assert wanted not in names
        return
    if wanted in names:
        assert found == wanted
    elif found is not None:
        assert found in names
        assert len([name for name in names if name.strip().casefold() == wanted.strip().casefold()]) <= 1


# rows that differ


def test_rows_keep_all_their_fields_and_gain_those_under_another_spelling():
    rows = [{"to": "1", "x": 1}, {"To": "2", "COUNTRY": "CH"}, {"name": "n"}]
    assert read(rows, "to", "country") == [
        {"to": "1", "x": 1},
        {"To": "2", "COUNTRY": "CH", "to": "2", "country": "CH"},
        {"name": "n"},
    ]


@pytest.mark.parametrize("many", [False, True], ids=["a list", "an iterator"])
def test_a_column_that_no_row_has_is_told_with_those_that_there_are(many):
    rows = [{f"column {i}": 1} for i in range(30)]
    with pytest.raises(RowSourceError) as error:
        read(iter(rows) if many else rows, "to")
    told = str(error.value)
    assert told.startswith("invites: no row has a column 'to'; its columns are column 0, column 1, ")
    assert told.endswith("column 19, …. Correct the list or to_column")


def test_a_column_that_all_rows_with_it_have_twice_is_told_with_both():
    with pytest.raises(RowSourceError, match="invites: to_column: 'To' and 'TO' could each be the column 'to'"):
        read([{"x": 1}, {"To": "1", "TO": "2"}], "to")


def test_a_list_of_empty_rows_lacks_its_columns_and_one_without_rows_does_not():
    with pytest.raises(RowSourceError, match="no row has a column 'to'; its columns are none at all"):
        read([{}, {}], "to")
    assert read([], "to") == []
    assert read(iter([]), "to") == []
    broken = BrokenRow(1, why("line 1: is not JSON"))
    assert list(columns("to").with_fields(iter([broken]), "x.jsonl")) == [broken]


@pytest.mark.parametrize("at", [0, 998, 999, 1000, 1001, 2500, 2999])
def test_an_iterator_is_read_ahead_until_each_column_was_seen_and_no_row_is_lost(at):
    rows: list[dict[str, Any]] = [{"to": str(i)} for i in range(3000)]
    rows[at] = {"To": str(at), "Country": "FR"}
    read = 0

    def watched() -> Iterator[dict[str, Any]]:
        nonlocal read
        for row in rows:
            read += 1
            yield row

    found = iter(columns("to", "country").with_fields(rows_of_list(watched()), "invites"))
    assert read == 0, "nothing is read before it is needed"
    first = next(found)
    assert read == at + 1
    all_rows = [first, *found]
    assert [row.position for row in all_rows] == list(range(1, 3001))
    assert [row.fields["to"] for row in all_rows if isinstance(row, Row)] == [str(i) for i in range(3000)]
    assert [row.position for row in all_rows if isinstance(row, Row) and "country" in row.fields] == [at + 1]


@pytest.mark.parametrize("lacks", [True, False])
def test_memory_does_not_grow_with_what_is_read_ahead(lacks):
    def many() -> Iterator[dict[str, Any]]:
        for i in range(20_000):
            yield {"to": str(i), "name": f"somebody called {i}"}
        if not lacks:
            yield {"to": "x", "country": "FR"}

    rows = columns("to", "country").with_fields(rows_of_list(many()), "invites")
    tracemalloc.start()
    if lacks:
        with pytest.raises(RowSourceError, match="no row has a column 'country'"):
            next(iter(rows))
    else:
        assert sum(1 for _ in rows) == 20_001
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # all rows are some 8,000,000


def test_what_can_be_read_again_is_checked_at_once_and_never_read_ahead():
    items = [{"to": "1"}, {"TO": "2"}]
    for rows in (ListedRows(items), Spool(rows_of_list(items))):
        found = columns("to").with_fields(rows, "invites")
        for _ in range(2):
            assert [row.fields["to"] for row in found if isinstance(row, Row)] == ["1", "2"]
        assert len(found) == 2  # type: ignore[arg-type]
    with pytest.raises(RowSourceError):
        columns("country").with_fields(ListedRows(items), "invites")


def test_a_row_that_could_be_read_in_two_ways_is_broken_and_the_others_are_not():
    rows = read([{"to": "1"}, {"To": "2", "TO": "3"}, {"to": "4", "Message": "a", "MESSAGE": "b"}], "to")
    assert rows[0] == {"to": "1"}
    assert rows[1].startswith("to_column: 'To' and 'TO' could each be")
    assert rows[2].startswith("'Message' and 'MESSAGE' could each be the column 'message'")


@given(
    st.lists(st.dictionaries(st.sampled_from(["to", "To", "TO", " to", "x"]), st.integers(), max_size=4), max_size=8)
)
def test_whatever_the_rows_have_each_is_itself_broken_or_the_list_is_refused(items):
    try:
        rows = list(columns("to").with_fields(iter(rows_of_list(items)), "invites"))
    except RowSourceError:
        assert not any("to" in item or len(item.keys() - {"x"}) == 1 for item in items)
        return
    assert [row.position for row in rows] == list(range(1, len(items) + 1))
    for row, item in zip(rows, items, strict=True):
        spellings = item.keys() - {"x"}
        if "to" in item or len(spellings) == 1:
            assert isinstance(row, Row)
            assert row.fields["to"] == item.get("to", next((item[name] for name in spellings), None))
        elif spellings:
            assert isinstance(row, BrokenRow)


def test_rows_of_ever_new_shapes_are_all_read():
    rows = [{"TO": str(i), f"x{i}": i} for i in range(3000)]
    assert [row["to"] for row in read(rows, "to")] == [str(i) for i in range(3000)]
