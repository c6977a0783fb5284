"""Files: what their names say, archives, and streams."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.model.rows import Row, RowSourceError
from airflow_provider_omnichat.campaign.rows.files import rows_of_file, rows_of_stream
from tests.support.read_rows import read


@pytest.mark.parametrize("name", ["a.csv", "b/A.TSV", "a.jsonl", "a.ndjson", "a.json"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_name_says_how_to_read(name, packed):
    content = b'{"to": "1"}\n' if "json" in name else b"to\n1\n"
    rows = read(gzip.compress(content) if packed else content, name + ".gz" * packed)
    assert rows == [Row(1, {"to": "1"})]


@pytest.mark.parametrize("name", ["list", "list.xlsx", "list.gz", "csv"])
def test_a_name_that_does_not_say_how_is_refused_at_once(name):
    with pytest.raises(RowSourceError, match=r"must end in \.csv"):
        rows_of_stream(io.BytesIO(b""), name)
    with pytest.raises(RowSourceError, match=r"must end in \.csv"):
        rows_of_file(lambda: pytest.fail("was opened"), name)


@pytest.mark.parametrize("spoil", [lambda data: data[:-20], lambda data: b"to\n1\n", lambda data: data[:60] + b"xxxx"])
def test_a_damaged_archive_is_an_error_and_not_a_short_list(spoil):
    data = gzip.compress("".join(f"{n * 7919}\n" for n in range(1000)).encode())
    with pytest.raises(RowSourceError, match="the archive is damaged after line"):
        read(spoil(data), "x.csv.gz")


def test_an_error_of_the_storage_is_passed_on():
    class Gone(io.BytesIO):
        def read1(self, *_: Any) -> bytes:
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        list(rows_of_stream(Gone(b"to\n1\n"), "x.csv"))


def test_a_file_is_opened_when_it_is_read_and_closed_after(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text("to\n1\n")
    opened: list[Any] = []

    def open_it() -> Any:
        opened.append(path.open("rb"))
        return opened[-1]

    rows = rows_of_file(open_it, path.name)
    assert not opened
    assert list(rows) == [Row(1, {"to": "1"})]
    assert opened[0].closed


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl.gz"])
def test_a_stream_that_was_given_stays_open(name):
    content = b"to\n1\n" if "csv" in name else gzip.compress(b'{"to": "1"}\n')
    stream = io.BytesIO(content)
    rows = rows_of_stream(stream, name)
    next(rows)
    del rows
    assert not stream.closed


def test_memory_does_not_grow_with_the_file(tmp_path: Path):
    path = tmp_path / "x.csv"
    with path.open("w") as file:
        file.write("to,n\n")
        file.writelines(f"4179302{n:06d},name\n" for n in range(50_000))
    tracemalloc.start()
    count = sum(1 for _ in rows_of_file(lambda: path.open("rb"), path.name))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 500_000
