"""What stands in the cells and lines of results."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.files import ResultFiles, read_results
from airflow_provider_omnichat.campaign.results.format import csv_line, one_line
from tests.support.reasons import why
from tests.support.result_files import FORMATS, lines
from tests.support.result_rows import give, key_of, made


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
        ("\x1b[31mred\x9b0m", " [31mred 0m"),
        ("'", "'"),
        ("", ""),
    ],
)
def test_no_text_from_outside_is_a_formula_in_a_spreadsheet(tmp_path, text, cell):
    sink = ResultFiles(tmp_path, format="csv", try_number=1, recipient_of=key_of, key_column="id")
    row = made(1, Outcome.INVALID, to="x", key=text, reason=why(text), status_name=text, message_id=text)
    sink.write([(None, row)])
    sink.close(whole=True)
    (raw,) = lines(tmp_path)
    assert [raw[name] for name in ("id", "error", "status_name", "message_id")] == [cell] * 4
    (back,) = read_results(tmp_path)
    assert back.key == (one_line(text) or None)


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_a_text_with_any_readers_delimiter_is_quoted(delimiter):
    assert csv_line([f"a{delimiter}b", "c", None, 1]) == f'"a{delimiter}b",c,,1\n'


ANYTHING = st.text(max_size=20) | st.text(alphabet="'=+-@ \t\r\n,\"1a;\x00\x1c\u2028", max_size=8)


@given(
    st.lists(
        st.builds(
            Result,
            position=st.integers(1, 10**6),
            key=st.none() | ANYTHING,
            to=ANYTHING,
            outcome=st.sampled_from(Outcome),
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
        sink.close(whole=True)
        back = {row.position: row for row in read_results(Path(home))}
        if format == "jsonl":
            assert back == {row.position: row for row in rows}
        assert sorted(back) == sorted(row.position for row in rows)
        for row in rows:
            for name in ("key", "to", "message_id", "status_name", "error"):
                text, found = getattr(row, name), getattr(back[row.position], name)
                if format == "csv" and text is not None:
                    text = one_line(text)
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
    sink.close(whole=True)
    assert [row.position for row in read_results(directory)] == [1, 2]
    assert [row["customer_id"] for row in lines(directory)][1] == "Zoë"
