from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import tracemalloc
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.checks.text import MessageTemplate
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row
from airflow_provider_omnichat.campaign.rows.spool import Spool, SpoolError

VALUES = st.none() | st.text() | st.integers() | st.decimals(allow_nan=False) | st.datetimes() | st.uuids()
ROWS = st.lists(st.dictionaries(st.sampled_from(["to", "name", "id", "x"]), VALUES) | st.text(min_size=1), max_size=30)


def rows_of(*fields: dict[str, Any]) -> list[Row | BrokenRow]:
    return [Row(position, one) for position, one in enumerate(fields, 1)]


def fields_in(spool: Spool) -> list[dict[str, Any]]:
    return [dict(row.fields) for row in spool if isinstance(row, Row)]


@given(ROWS)
def test_what_goes_in_comes_out_in_its_order_and_again(given):
    rows = [
        Row(position, one) if isinstance(one, dict) else BrokenRow(position, one)
        for position, one in enumerate(given, 1)
    ]
    with Spool(iter(rows)) as spool:
        assert list(spool) == rows
        assert list(spool) == rows
        assert len(spool) == len(rows)


def test_blocks_follow_each_other_without_a_gap():
    rows = (Row(position, {"to": str(position)}) for position in range(1, 3502))
    with Spool(rows) as spool:
        assert [row.position for row in spool] == list(range(1, 3502))
        assert [fields["to"] for fields in fields_in(spool)] == [str(n) for n in range(1, 3502)]


def test_values_of_drivers_come_back_as_they_are():
    values = {
        "to": 41793026727,
        "price": Decimal("12.50"),
        "born": date(1990, 1, 2),
        "seen": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        "id": uuid.UUID(int=7),
        "data": b"\x00",
        "list": [1, {"a": None}],
    }
    with Spool(rows_of(values)) as spool:
        (fields,) = fields_in(spool)
    assert fields == values
    assert [type(value) for value in fields.values()] == [type(value) for value in values.values()]


class Stubborn:
    """Packs, and does not unpack."""

    def __reduce__(self) -> Any:
        return int, ("nothing",)


def test_a_value_that_cannot_be_set_aside_becomes_one_that_is_told_of_by_its_type():
    rows = rows_of({"to": "1", "blob": (n for n in "x")}, {"to": "2", "blob": "text"}, {"to": "3", "blob": None})
    with Spool(rows) as spool:
        first, *others = fields_in(spool)
    assert others == [{"to": "2", "blob": "text"}, {"to": "3", "blob": None}]
    assert first["to"] == "1"
    assert str(first["blob"]) == "<generator>"
    with pytest.raises(InvalidInviteError, match="'blob', which is a generator that cannot be put in a text"):
        MessageTemplate("{blob} <link>").render(first)


def test_a_value_that_does_not_come_back_is_an_error_without_the_value():
    with Spool(rows_of({"to": "1", "x": Stubborn()})) as spool, pytest.raises(SpoolError, match="cannot be read back"):
        list(spool)


def test_iterations_do_not_disturb_each_other():
    with Spool([Row(n, {"to": n}) for n in range(1, 5001)]) as spool:
        first, second = iter(spool), iter(spool)
        halves = [next(first).position for _ in range(2500)]
        assert [row.position for row in second] == list(range(1, 5001))
        assert [*halves, *(row.position for row in first)] == list(range(1, 5001))
        with ThreadPoolExecutor(4) as threads:
            sums = threads.map(lambda _: sum(row.position for row in spool), range(8))
            assert set(sums) == {5000 * 5001 // 2}


def test_what_is_being_read_when_it_is_closed_is_read_to_its_end_and_nothing_after_it():
    spool = Spool([Row(n, {}) for n in range(1, 3001)])
    reading = iter(spool)
    next(reading)
    spool.close()
    assert sum(1 for _ in reading) == 2999
    with pytest.raises(ValueError, match="closed"):
        next(iter(spool))


def open_files() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(link.readlink()))
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files as Linux shows them")
def test_the_file_has_no_name_and_is_gone_when_it_is_closed_or_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool(rows_of({"to": "41793026727"}))
    ours = {path for path in open_files() if path.startswith(str(tmp_path))}
    assert ours, "it stands where the worker's temporary files stand"
    assert list(tmp_path.iterdir()) == []
    reading = iter(spool)
    next(reading)
    del spool, reading
    assert not {path for path in open_files() if path.startswith(str(tmp_path))}


def test_what_the_source_raises_is_passed_on_and_the_source_closed():
    closed = []

    def source() -> Iterator[Row]:
        try:
            yield Row(1, {})
            raise LookupError("the source")
        finally:
            closed.append(True)

    with pytest.raises(LookupError, match="the source"):
        Spool(source())
    assert closed


def test_a_full_disk_is_told_of_with_the_place_and_what_to_do(tmp_path):
    program = textwrap.dedent("""
        import resource, sys
        from airflow_provider_omnichat.campaign.model.rows import Row
        from airflow_provider_omnichat.campaign.rows.spool import Spool, SpoolError
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        try:
            Spool(Row(n, {"to": f"4179302{n:06}", "text": "x" * 50}) for n in range(100_000))
        except SpoolError as error:
            print(error)
    """)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path) in done.stdout
    assert "TMPDIR" in done.stdout
    assert "4179302" not in done.stdout
    assert done.stderr == ""


def test_no_place_at_all_is_told_of(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    with pytest.raises(SpoolError, match="/nowhere/at/all"):
        Spool([])


def test_memory_does_not_grow_with_the_list():
    def peak(count: int) -> int:
        tracemalloc.start()
        with Spool(Row(n, {"to": f"4179{n:07}", "name": f"P{n}", "unused": "x" * 100}) for n in range(count)) as spool:
            assert sum(1 for _ in spool) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few = peak(3_000)
    assert peak(60_000) < few * 1.2 + 100_000


def test_it_is_for_its_owner_only():
    with Spool(rows_of({"to": "1"})) as spool:
        assert os.fstat(spool._file.fileno()).st_mode & 0o077 == 0
