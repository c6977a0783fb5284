from __future__ import annotations

import csv
import errno
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.known_outcomes import KnownOutcomes
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.phone.identity import recipient_key
from airflow_provider_omnichat.campaign.results import files as result_files
from airflow_provider_omnichat.campaign.results.files import ResultFileError, ResultFiles, read_results
from airflow_provider_omnichat.campaign.results.format import COLUMNS
from airflow_provider_omnichat.campaign.results.sink import FINAL_OUTCOMES, ResultSink
from tests.support.reasons import why

Format = Literal["jsonl", "csv"]
FORMATS: list[Format] = ["jsonl", "csv"]
key_of = partial(recipient_key, "welcome")


def made(position: int, outcome: Outcome = Outcome.ACCEPTED, to: str | None = None, **more: Any) -> Result:
    to = to or f"4179302{position:04d}"
    return Result(position, more.pop("key", f"c{position}"), to, outcome, "2026-07-30T12:00:00+00:00", **more)


def give(*results: Result) -> list[tuple[str | None, Result]]:
    return [(key_of(result.to), result) for result in results]


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


def names(directory: Any) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def lines(directory: Any) -> list[dict[str, Any]]:
    """Every row as a tool would see it that knows nothing but the files."""
    rows: list[dict[str, Any]] = []
    for name in names(directory):
        with (directory / name).open("r") as file:
            rows += csv.DictReader(file) if name.endswith(".csv") else map(json.loads, file)
    return rows


FULL = made(
    3,
    Outcome.REJECTED,
    message_id="m-3",
    status_id=52,
    status_group=5,
    status_name="REJECTED_DESTINATION",
    message_count=2,
    attempts=1,
    reason=why('Invalid, "really"', ReasonCode.HTTP_REJECTED),
)


def test_it_is_a_result_sink(files):
    sink: ResultSink = files()
    assert sink.location


def test_rows_are_read_back_as_they_were_written(files, directory):
    results = [made(1), FULL, made(2, Outcome.INVALID, to="+41 (0)79 x", key=None, reason=why("to: has letters"))]
    sink = files()
    sink.write(give(*results[:2]))
    sink.write([(None, results[2])])
    sink.close()
    assert sorted(read_results(directory), key=lambda row: row.position) == [results[0], results[2], FULL]


def test_the_columns_stand_in_their_order_after_the_users_key(files, directory):
    sink = files()
    sink.write(give(FULL))
    sink.close()
    (row,) = lines(directory)
    assert tuple(row) == ("customer_id", *COLUMNS)
    assert {name: str(value) for name, value in row.items()} == {
        "customer_id": "c3",
        "to": "41793020003",
        "outcome": "rejected",
        "message_id": "m-3",
        "status_group": "5",
        "status_id": "52",
        "status_name": "REJECTED_DESTINATION",
        "message_count": "2",
        "attempts": "1",
        "reason_code": "http_rejected",
        "error": 'Invalid, "really"',
        "at": "2026-07-30T12:00:00+00:00",
        "row": "3",
    }


def test_without_a_key_column_there_is_none(files, directory):
    sink = files(key_column=None)
    sink.write(give(made(1, key=None)))
    sink.close()
    assert tuple(lines(directory)[0]) == COLUMNS
    assert list(read_results(directory)) == [made(1, key=None)]


def test_a_key_column_that_would_hide_another_is_refused(files):
    with pytest.raises(ValueError, match="'to'"):
        files(key_column="to")
    with pytest.raises(ValueError, match="xlsx"):
        files(format="xlsx")


def test_nothing_is_made_before_there_is_a_row(files, directory):
    sink = files()
    assert sink.earlier() == {}
    sink.write([])
    sink.close()
    assert not directory.exists()
    assert list(read_results(directory)) == []


def test_a_later_try_keeps_what_was_decided_and_writes_the_rest_anew(files, directory):
    first = files(1)
    first.write(give(made(1), made(2, Outcome.REJECTED), made(3, Outcome.NOT_SENT), made(4, Outcome.UNKNOWN)))
    first.close()
    sent_before = {name for name in names(directory) if name.startswith("sent-try-1-")}
    second = files(2)
    earlier = second.earlier()
    assert dict(earlier) == {key_of("41793020001"): Outcome.ACCEPTED, key_of("41793020002"): Outcome.REJECTED}
    second.write(give(made(3), made(4, Outcome.UNKNOWN, attempts=0)))
    second.close()
    assert sorted(int(row["row"]) for row in lines(directory)) == [1, 2, 3, 4]
    assert sent_before < set(names(directory))
    assert {row.position: row.outcome for row in read_results(directory)} == {
        1: Outcome.ACCEPTED,
        2: Outcome.REJECTED,
        3: Outcome.ACCEPTED,
        4: Outcome.UNKNOWN,
    }


def test_a_try_that_did_not_see_the_whole_list_leaves_what_the_one_before_wrote(files, directory):
    first = files(1)
    first.write(give(made(1, Outcome.NOT_SENT), made(2, Outcome.NOT_SENT, reason=why("old"))))
    first.close()
    second = files(2)
    second.write(give(made(1, Outcome.UNKNOWN)))
    second.close(whole=False)
    found = {row.position: (row.outcome, row.error) for row in read_results(directory)}
    assert found == {1: (Outcome.UNKNOWN, None), 2: (Outcome.NOT_SENT, "old")}
    third = files(3)
    third.write(give(made(1), made(2, Outcome.NOT_SENT, reason=why("new"))))
    third.close()
    assert sorted(int(row["row"]) for row in lines(directory)) == [1, 2]


def test_a_row_that_was_sent_by_a_try_that_crashed_reads_as_sent(files, directory):
    first = files(1)
    first.write(give(made(1, Outcome.NOT_SENT), made(2, Outcome.NOT_SENT)))
    first.close()
    files(2).write(give(made(1)))
    crashed = files(3)
    crashed.write(give(made(2)))
    crashed.close(whole=False)
    read = {row.position: row.outcome for row in read_results(directory)}
    assert read[2] is Outcome.ACCEPTED
    # On object storage the first process had not sent its part when it was forgotten.
    assert read[1] is (Outcome.ACCEPTED if not hasattr(directory, "protocol") else Outcome.NOT_SENT)


def test_the_same_try_number_again_overwrites_nothing(files, directory):
    for count in (1, 2, 3):
        again = files(1)
        assert len(again.earlier()) == count - 1
        again.write(give(made(count), made(10, Outcome.NOT_SENT, attempts=count)))
        again.close()
    assert sorted(row.position for row in read_results(directory)) == [1, 2, 3, 10]
    assert [row.attempts for row in read_results(directory) if row.position == 10] == [3]


def test_two_that_begin_at_the_same_moment_write_to_different_files(files, directory):
    both = files(1), files(1)
    assert [one.earlier() for one in both] == [{}, {}]
    for number, one in enumerate(both, 1):
        one.write(give(made(number), made(number + 10, Outcome.UNKNOWN)))
    for one in both:
        one.close()
    assert sorted(row.position for row in read_results(directory)) == [1, 2, 11, 12]


def test_a_slow_process_of_an_earlier_try_removes_nothing_of_a_later_one(files, directory):
    slow = files(1)
    slow.write(give(made(1, Outcome.NOT_SENT)))
    slow.close(whole=False)
    later = files(2)
    later.write(give(made(1, Outcome.UNKNOWN)))
    later.close()
    slow.close()
    assert [row.outcome for row in read_results(directory)] == [Outcome.UNKNOWN]


def test_other_files_in_the_directory_are_left_alone(files, directory):
    first = files(1)
    first.write(give(made(1, Outcome.NOT_SENT)))
    first.close()
    for name in ("notes.jsonl", "rest-of-my-data.csv", "rest-try-1.jsonl"):
        with (directory / name).open("w") as file:
            file.write("mine")
    second = files(2)
    assert second.earlier() == {}
    second.write(give(made(1)))
    second.close()
    assert {"notes.jsonl", "rest-of-my-data.csv", "rest-try-1.jsonl"} < set(names(directory))
    assert len(list(read_results(directory))) == 1


def test_a_try_in_another_format_knows_the_earlier_ones(directory):
    for number, format in enumerate(["csv", "jsonl", "csv"], 1):
        one = ResultFiles(directory, format=format, try_number=number, recipient_of=key_of, key_column=None)  # type: ignore[arg-type]
        assert len(one.earlier()) == number - 1
        one.write(give(made(number, key=None)))
        one.close()
    assert sorted(row.position for row in read_results(directory)) == [1, 2, 3]


def test_rows_of_a_list_that_changed_between_tries_are_all_given(files, directory):
    for number, to in ((1, "41793020001"), (2, "41793020002")):
        one = files(number)
        one.write(give(made(1, to=to)))
        one.close()
    assert sorted(row.to for row in read_results(directory)) == ["41793020001", "41793020002"]


# Crashes


def test_a_killed_process_leaves_all_that_it_had_written(tmp_path):
    program = f"""
        import os, signal, sys
        from pathlib import Path
        from tests.campaign.results.test_files import *
        sink = ResultFiles(Path({str(tmp_path)!r}), format="jsonl", try_number=1, recipient_of=key_of)
        for position in range(100):
            sink.write(give(made(position, Outcome.ACCEPTED if position % 2 else Outcome.UNKNOWN)))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    assert sorted(row.position for row in read_results(tmp_path)) == list(range(100))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_line_is_cut_off_by_the_next_try(tmp_path, format, cut):
    first = ResultFiles(tmp_path, format=format, try_number=1, recipient_of=key_of)
    first.write(give(made(1), made(2)))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    assert [row.position for row in read_results(tmp_path)] == [1]
    second = ResultFiles(tmp_path, format=format, try_number=2, recipient_of=key_of)
    assert list(second.earlier()) == [key_of("41793020001")]
    assert path.read_bytes().endswith(b"\n")
    assert [int(row["row"]) for row in lines(tmp_path)] == [1]


def test_a_file_torn_in_its_first_line_is_emptied_and_an_empty_one_left(tmp_path):
    names = ("sent-try-1-0001-aaaa-0001.csv", "sent-try-1-0002-aaaa-0001.csv")
    (tmp_path / names[0]).write_text("to,outc" * 20_000)
    (tmp_path / names[1]).touch()
    assert ResultFiles(tmp_path, format="csv", try_number=2, recipient_of=key_of).earlier() == {}
    assert [(tmp_path / name).stat().st_size for name in names] == [0, 0]


def test_a_line_that_somebody_edited_is_an_error_of_the_reader_that_says_where(files, directory):
    sink = files()
    sink.write(give(made(1), made(2), made(3)))
    sink.close()
    path = directory / names(directory)[0]
    with path.open("r") as file:
        content = file.read().replace("accepted", "delivered", 2)
    with path.open("w") as file:
        file.write(content)
    with pytest.raises(ResultFileError, match=r"0001\.(jsonl: line 1|csv: line 2) is no result row"):
        list(read_results(directory))
    assert list(files(2).earlier()) == [key_of("41793020003")]


OUTCOMES = st.sampled_from(list(Outcome))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_however_the_tries_crash_all_files_together_hold_each_row_once_in_the_end(data):
    """
    A model of the batch: its ledger never forgets, while its files lose up to a block at the end when it is killed.
    """
    format = data.draw(st.sampled_from(FORMATS))
    rows = data.draw(st.integers(1, 12))
    ledger: dict[int, Outcome] = {}
    chance: random.Random = data.draw(st.randoms(use_true_random=False))
    with tempfile.TemporaryDirectory() as home:
        directory = Path(home, "r")
        written: set[int] = set()
        tries = data.draw(st.integers(1, 4))
        for number in range(1, tries + 1):
            sink = ResultFiles(directory, format=format, try_number=chance.randint(1, 2), recipient_of=key_of)
            earlier = sink.earlier()
            killed_at = chance.randint(0, rows) if number < tries else None
            for position in range(1, rows + 1):
                if position == killed_at:
                    break
                outcome = ledger.get(position)
                if outcome not in FINAL_OUTCOMES:
                    outcome = ledger[position] = data.draw(OUTCOMES)
                    if outcome is Outcome.NOT_SENT:
                        del ledger[position]
                row = made(position, outcome, reason=why("x, \n y"), key=None)
                if key_of(row.to) not in earlier:
                    sink.write(give(row))
                    written.add(position)
            if killed_at is None:
                sink.close()
            elif chance.random() < 0.3:
                sink.close(whole=False)
            elif directory.exists() and chance.random() < 0.7:
                newest = max(directory.iterdir(), key=lambda path: path.name.split("-")[3])
                content = newest.read_bytes()
                newest.write_bytes(content[: max(0, len(content) - chance.randint(0, 200))])
            seen = [result.position for result in read_results(directory)]
            assert len(seen) == len(set(seen))
            assert set(seen) <= written
        assert sorted(int(row["row"]) for row in lines(directory)) == list(range(1, rows + 1))
        assert {row.position: row.outcome for row in read_results(directory) if row.outcome in FINAL_OUTCOMES} == {
            position: outcome for position, outcome in ledger.items() if outcome in FINAL_OUTCOMES
        }


# Local file systems


def test_files_are_for_their_owner_only(tmp_path):
    old = os.umask(0)
    try:
        sink = ResultFiles(tmp_path, format="csv", try_number=1, recipient_of=key_of)
        sink.write(give(made(1), made(2, Outcome.HELD)))
    finally:
        os.umask(old)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600, 0o600]


def test_a_local_path_of_another_library_is_written_as_a_local_file(tmp_path):
    upath = pytest.importorskip("upath")
    sink = ResultFiles(upath.UPath(f"file://{tmp_path}/x"), format="jsonl", try_number=1, recipient_of=key_of)
    sink.write(give(made(1)))
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "x").iterdir()] == [0o600]
    assert [row.position for row in read_results(tmp_path / "x")] == [1], "before it was closed"


@pytest.mark.parametrize("can_cut", [True, False])
def test_a_full_disk_is_an_error_and_no_row_is_lost_or_torn_once_there_is_room(tmp_path, monkeypatch, can_cut):
    sink = ResultFiles(tmp_path, format="jsonl", try_number=1, recipient_of=key_of)
    sink.write(give(made(1)))
    write = os.write
    room = 30

    def full(file: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done, room = write(file, data[:room]), 0
        return done

    monkeypatch.setattr(os, "write", full)
    if not can_cut:
        monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(
        ResultFileError, match=r"sent-try-1-.*\.jsonl cannot be written: No space left on device"
    ) as error:
        sink.write(give(made(2), made(3, Outcome.UNKNOWN)))
    assert isinstance(error.value, OmnichatError)
    assert [row.position for row in read_results(tmp_path)] == [1]
    with pytest.raises(ResultFileError):
        sink.close()
    monkeypatch.undo()
    sink.write(give(made(4)))
    sink.close()
    assert sorted(row.position for row in read_results(tmp_path)) == [1, 2, 3, 4]
    assert not can_cut or sorted(row["row"] for row in lines(tmp_path)) == [1, 2, 3, 4]


def test_a_directory_that_cannot_be_made_or_read_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    sink = ResultFiles(tmp_path / "file" / "x", format="csv", try_number=1, recipient_of=key_of)
    with pytest.raises(ResultFileError, match="cannot be written: Not a directory"):
        sink.write(give(made(1)))
    with pytest.raises(ResultFileError, match="cannot be listed: Not a directory"):
        ResultFiles(tmp_path / "file", format="csv", try_number=1, recipient_of=key_of).earlier()


# Object storage


class Bucket:
    """A place where a file appears when it is closed, and where things may fail."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.broken = ""

    def exists(self) -> bool:
        return bool(self.objects)

    def iterdir(self) -> Iterator[Any]:
        return iter([self / name for name in self.objects])

    def mkdir(self, **_: Any) -> None:
        raise AssertionError("buckets have no directories")

    def __truediv__(self, name: str) -> Any:
        return _Object(self, name)

    def __str__(self) -> str:
        return "s3://bucket/x"


class _Object:
    def __init__(self, bucket: Bucket, name: str) -> None:
        self.bucket, self.name = bucket, name

    def open(self, mode: str) -> Any:
        if self.bucket.broken:
            raise RuntimeError(self.bucket.broken)
        return io.BytesIO(self.bucket.objects[self.name]) if mode == "rb" else _Upload(self)

    def unlink(self) -> None:
        del self.bucket.objects[self.name]

    def __str__(self) -> str:
        return f"{self.bucket}/{self.name}"


class _Upload(io.BytesIO):
    def __init__(self, target: _Object) -> None:
        super().__init__()
        self.target = target

    def close(self) -> None:
        if not self.closed:
            self.target.bucket.objects[self.target.name] = self.getvalue()
        super().close()


@pytest.mark.parametrize("format", FORMATS)
def test_parts_go_out_by_rows_and_at_the_end(format):
    bucket: Any = Bucket()
    sink = ResultFiles(bucket, format=format, try_number=1, recipient_of=key_of, part_rows=3)
    counts = []
    for position in range(1, 8):
        sink.write(give(made(position, key=None)))
        counts.append(len(bucket.objects))
    assert counts == [0, 0, 1, 1, 1, 2, 2]
    sink.close()
    assert len(bucket.objects) == 3
    assert sorted(row.position for row in read_results(bucket)) == [1, 2, 3, 4, 5, 6, 7]


def test_parts_go_out_by_time(monkeypatch):
    bucket: Any = Bucket()
    now = 1000.0
    monkeypatch.setattr(result_files, "monotonic", lambda: now)
    sink = ResultFiles(bucket, format="jsonl", try_number=1, recipient_of=key_of, part_seconds=30)
    sink.write(give(made(1)))
    now += 29
    sink.write(give(made(2)))
    assert not bucket.objects
    now += 1
    sink.write([])
    assert len(bucket.objects) == 1
    now += 100
    sink.write(give(made(3)))
    assert len(bucket.objects) == 1, "its time begins with its first row"


def test_a_part_that_cannot_be_sent_is_kept_and_sent_later():
    bucket: Any = Bucket()
    sink = ResultFiles(bucket, format="jsonl", try_number=1, recipient_of=key_of, part_rows=1)
    bucket.broken = "AccessDenied for 41793026727"
    with pytest.raises(ResultFileError) as error:
        sink.write(give(made(1), made(2, Outcome.UNKNOWN)))
    assert "s3://bucket/x/sent-try-1-" in str(error.value)
    assert "AccessDenied for 41793****27" in str(error.value)
    bucket.broken = ""
    sink.close()
    assert sorted(row.position for row in read_results(bucket)) == [1, 2]


def test_one_part_that_cannot_be_sent_holds_up_no_other(monkeypatch):
    bucket: Any = Bucket()
    open_object = _Object.open

    def refuse_sent(self: _Object, mode: str) -> Any:
        if self.name.startswith("sent"):
            raise RuntimeError("refused")
        return open_object(self, mode)

    monkeypatch.setattr(_Object, "open", refuse_sent)
    sink = ResultFiles(bucket, format="jsonl", try_number=1, recipient_of=key_of)
    sink.write(give(made(1), made(2, Outcome.UNKNOWN)))
    with pytest.raises(ResultFileError, match="refused"):
        sink.close()
    assert [row.position for row in read_results(bucket)] == [2]


def test_what_cannot_be_read_is_not_taken_for_nothing():
    bucket: Any = Bucket()
    first = ResultFiles(bucket, format="jsonl", try_number=1, recipient_of=key_of)
    first.write(give(made(1)))
    first.close()
    bucket.broken = "gone"
    with pytest.raises(ResultFileError, match="cannot be read: gone"):
        ResultFiles(bucket, format="jsonl", try_number=2, recipient_of=key_of).earlier()


# What stands in the cells


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("\t=1", "'\t=1"),
        (" =1", "' =1"),
        ("\n=1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("+41 (0)79 302-67-27", "+41 (0)79 302-67-27"),
        ("-5.5", "-5.5"),
        ("41793026727", "41793026727"),
        ("0041", "0041"),
        ("a=b", "a=b"),
        ("'", "'"),
        ("", ""),
    ],
)
def test_no_text_from_outside_is_a_formula_in_a_spreadsheet(tmp_path, text, cell):
    sink = ResultFiles(tmp_path, format="csv", try_number=1, recipient_of=key_of, key_column="id")
    row = made(1, Outcome.INVALID, to="x", key=text, reason=why(text), status_name=text, message_id=text)
    sink.write([(None, row)])
    sink.close()
    (raw,) = lines(tmp_path)
    assert [raw[name] for name in ("id", "error", "status_name", "message_id")] == [cell] * 4
    (back,) = read_results(tmp_path)
    assert back.key == (text.replace("\n", " ") or None)


ANYTHING = st.text(max_size=20) | st.text(alphabet="'=+-@ \t\r\n,\"1a;\x00\x1c\u2028", max_size=8)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Result,
            position=st.integers(1, 10**6),
            key=st.none() | ANYTHING,
            to=ANYTHING,
            outcome=OUTCOMES,
            at=st.just("2026-07-30T12:00:00+00:00"),
            message_id=st.none() | ANYTHING,
            status_id=st.none() | st.integers(0, 200),
            status_name=st.none() | ANYTHING,
            attempts=st.integers(0, 9),
            reason=st.none() | st.builds(why, ANYTHING, st.sampled_from(ReasonCode)),
        ),
        max_size=5,
        unique_by=lambda row: row.position,
    ),
    st.sampled_from(FORMATS),
)
def test_whatever_stands_in_a_row_is_read_back(rows, format):
    with tempfile.TemporaryDirectory() as home:
        sink = ResultFiles(Path(home), format=format, try_number=1, recipient_of=key_of, key_column="id, or =so")
        sink.write([(None, row) for row in rows])
        sink.close()
        back = {row.position: row for row in read_results(Path(home))}
        if format == "jsonl":
            assert back == {row.position: row for row in rows}
        assert sorted(back) == sorted(row.position for row in rows)
        for row in rows:
            for name in ("key", "to", "message_id", "status_name", "error"):
                text, found = getattr(row, name), getattr(back[row.position], name)
                if format == "csv" and text is not None:
                    text = " ".join(part for part in text.replace("\r", "\n").split("\n"))
                    assert (found or "").replace(" ", "") == text.replace(" ", "")
                else:
                    assert found == text
        if format == "csv":
            for raw in lines(Path(home)):
                for cell in raw.values():
                    assert not cell.strip().startswith(("=", "@"))


def test_a_lone_half_of_a_character_is_written_as_an_escape(files, directory):
    sink = files()
    sink.write(give(made(1, key="\ud800"), made(2, key="Zoë")))
    sink.close()
    assert [row.position for row in read_results(directory)] == [1, 2]
    assert [row["customer_id"] for row in lines(directory)][1] == "Zoë"


# Known outcomes


@given(st.lists(st.tuples(st.binary(min_size=3, max_size=3), OUTCOMES), max_size=200))
def test_known_outcomes_are_a_mapping(pairs):
    """Keys of two bytes in repetition, so that entries run into each other as badly as they can."""
    known, expected = KnownOutcomes(), {}
    for raw, outcome in pairs:
        key = (b"ab" + bytes([raw[0] % 2]) * 6 + bytes([raw[1] % 2]) * 6 + bytes([raw[2] % 3, 0])).hex()
        known.add(key, outcome)
        expected[key] = outcome
    assert dict(known) == expected
    assert len(known) == len(expected)
    assert all(key in known for key in expected)


@pytest.mark.parametrize("key", [None, "", "zz", "ab", "00" * 17, 5, "00" * 16])
def test_what_is_not_known_is_not_in_known_outcomes(key):
    known = KnownOutcomes()
    known.add("01" * 16, Outcome.ACCEPTED)
    assert key not in known
    assert known.get(key) is None
    with pytest.raises(KeyError):
        known[key]
    with pytest.raises(ValueError):
        known.add("00" * 15, Outcome.ACCEPTED)
