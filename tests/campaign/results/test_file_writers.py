"""Results on a local file system."""

from __future__ import annotations

import errno
import os

import pytest

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.results.directory import ResultFileError
from airflow_provider_omnichat.campaign.results.files import ResultFiles, read_results
from tests.support.result_files import lines
from tests.support.result_rows import give, key_of, made


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
        sink.close(whole=True)
    monkeypatch.undo()
    sink.write(give(made(4)))
    sink.close(whole=True)
    assert sorted(row.position for row in read_results(tmp_path)) == [1, 2, 3, 4]
    assert not can_cut or sorted(row["row"] for row in lines(tmp_path)) == [1, 2, 3, 4]


def test_a_directory_that_cannot_be_made_or_read_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    sink = ResultFiles(tmp_path / "file" / "x", format="csv", try_number=1, recipient_of=key_of)
    with pytest.raises(ResultFileError, match="cannot be written: Not a directory"):
        sink.write(give(made(1)))
    with pytest.raises(ResultFileError, match="cannot be listed: Not a directory"):
        ResultFiles(tmp_path / "file", format="csv", try_number=1, recipient_of=key_of).earlier()
