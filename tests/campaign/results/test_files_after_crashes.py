"""Tries that crash at any moment: all files together hold each row once in the end."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.place import DECIDED
from airflow_provider_omnichat.campaign.results.directory import ResultFileError
from airflow_provider_omnichat.campaign.results.files import ResultFiles, read_results
from tests.support.reasons import why
from tests.support.result_files import FORMATS, lines, names
from tests.support.result_rows import give, key_of, made


def test_a_killed_process_leaves_all_that_it_had_written(tmp_path):
    program = f"""
        import os, signal, sys
        from pathlib import Path
        from airflow_provider_omnichat.api.outcomes import Outcome
        from airflow_provider_omnichat.campaign.results.files import ResultFiles
        from tests.support.result_rows import give, key_of, made
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
    sink.close(whole=True)
    path = directory / names(directory)[0]
    with path.open("r") as file:
        content = file.read().replace("accepted", "delivered", 2)
    with path.open("w") as file:
        file.write(content)
    with pytest.raises(ResultFileError, match=r"0001\.(jsonl: line 1|csv: line 2) is not a result row"):
        list(read_results(directory))
    assert list(files(2).earlier()) == [key_of("41793020003")]


OUTCOMES = st.sampled_from(list(Outcome))


@settings(max_examples=150)
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
                if outcome not in DECIDED:
                    outcome = ledger[position] = data.draw(OUTCOMES)
                    if outcome is Outcome.NOT_SENT:
                        del ledger[position]
                row = made(position, outcome, reason=why("x, \n y"), key=None)
                if key_of(row.to) not in earlier:
                    sink.write(give(row))
                    written.add(position)
            if killed_at is None:
                sink.close(whole=True)
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
        assert {row.position: row.outcome for row in read_results(directory) if row.outcome in DECIDED} == {
            position: outcome for position, outcome in ledger.items() if outcome in DECIDED
        }
