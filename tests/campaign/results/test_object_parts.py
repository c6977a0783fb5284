"""Results on object storage, where a file appears only when it is complete."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.results import file_writers
from airflow_provider_omnichat.campaign.results.directory import ResultFileError
from airflow_provider_omnichat.campaign.results.files import ResultFiles, read_results
from tests.support.result_files import FORMATS
from tests.support.result_rows import give, key_of, made


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
    sink.close(whole=True)
    assert len(bucket.objects) == 3
    assert sorted(row.position for row in read_results(bucket)) == [1, 2, 3, 4, 5, 6, 7]


def test_parts_go_out_by_time(monkeypatch):
    bucket: Any = Bucket()
    now = 1000.0
    monkeypatch.setattr(file_writers, "monotonic", lambda: now)
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
    sink.close(whole=True)
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
        sink.close(whole=True)
    assert [row.position for row in read_results(bucket)] == [2]


def test_what_cannot_be_read_is_not_taken_for_nothing():
    bucket: Any = Bucket()
    first = ResultFiles(bucket, format="jsonl", try_number=1, recipient_of=key_of)
    first.write(give(made(1)))
    first.close(whole=True)
    bucket.broken = "gone"
    with pytest.raises(ResultFileError, match="cannot be read: gone"):
        ResultFiles(bucket, format="jsonl", try_number=2, recipient_of=key_of).earlier()
