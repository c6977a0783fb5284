"""Rows as CSV: each once, on one line, and nothing that a spreadsheet would take for a formula."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.pages import Page, PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import UnwrittenPlace
from airflow_provider_omnichat.campaign.results import file_pages
from airflow_provider_omnichat.campaign.results.files import ResultFiles
from airflow_provider_omnichat.plugins.invites.rows import csv_lines
from tests.support.result_rows import give, key_of, made


class Rows(UnwrittenPlace):
    """Rows in memory, in pages; remembers what it was asked for."""

    location = "here"
    sorts = True

    def __init__(self, *rows: ShownRow) -> None:
        self._rows = rows
        self.asked: list[PageQuery] = []

    def page(self, query: PageQuery) -> Page:
        self.asked.append(query)
        end = query.skipped + query.size
        return Page(self._rows[query.skipped : end], str(end) if end < len(self._rows) else None)


def read(rows: Rows, query: PageQuery | None = None) -> list[list[str]]:
    text = "".join(csv_lines(rows, query or PageQuery()))
    assert text.endswith("\n")
    return list(csv.reader(io.StringIO(text), strict=True))


def test_a_row_has_all_its_columns() -> None:
    at = datetime(2026, 11, 1, 8, 0, 0, 250_000, tzinfo=UTC)
    full = ShownRow("c1", 7, "41793026727", "rejected", "http_rejected", 'no, "really"', "DND", "m-1", at)
    head, first, second = read(Rows(full, ShownRow(None, None, None, "claimed")))
    assert head == ["key", "row", "number", "outcome", "reason_code", "reason", "status", "message_id", "at"]
    assert first[:2] + first[3:] == [
        *("c1", "7", "rejected", "http_rejected", 'no, "really"', "DND", "m-1", "2026-11-01T08:00:00+00:00")
    ]
    assert second == ["", "", "", "claimed", "", "", "", "", ""]


@pytest.mark.parametrize("setting", [None, "True"])
def test_numbers_are_masked_unless_the_setting_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    if setting:
        monkeypatch.setenv("AIRFLOW__OMNICHAT__SHOW_NUMBERS", setting)
    (_, row) = read(Rows(ShownRow("c1", 1, "41793026727", "accepted")))
    assert (row[2] == "41793026727") is bool(setting)
    assert ("3026" in row[2]) is bool(setting)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+cmd", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", " =1", "\r=1", "'=1", "\uff1d1+1", "=\n1"]
)
@pytest.mark.parametrize("column", ["key", "reason", "status", "message_id"])
def test_nothing_is_a_formula(text: str, column: str) -> None:
    values: dict[str, Any] = {column: text}
    row = ShownRow("c1", 1, None, "rejected")._replace(**values)
    _, cells = read(Rows(row))
    assert [cell for cell in cells if cell.lstrip("\t\r ")[:1] in ("=", "+", "-", "@", "\uff1d")] == []
    assert any(text.split("\n")[0].strip() in cell for cell in cells)


@pytest.mark.parametrize(
    "text", ["two\nlines", "a\r\nb", 'quo"ted', "a,b;c", "a;b", "a\tb", "a|b", "<b>&amp;</b>", "Zürich 日本"]
)
def test_a_row_is_a_line(text: str) -> None:
    lines = list(csv_lines(Rows(ShownRow(text, 1, None, "accepted")), PageQuery()))
    assert "".join(lines).count("\n") == 2
    ((key, *_),) = csv.reader(io.StringIO("".join(lines[1:])), strict=True)
    assert key == " ".join(text.splitlines())
    assert lines[1].startswith('"') is any(sign in text for sign in ',;\t|"'), "whatever separates cells for its reader"


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 3500])
def test_each_row_comes_once_however_many(count: int) -> None:
    rows = Rows(*(ShownRow(f"c{at}", at, None, "accepted") for at in range(count)))
    assert [row[1] for row in read(rows)[1:]] == [str(at) for at in range(count)]


def test_the_filter_holds_and_place_order_and_size_do_not() -> None:
    rows = Rows(*(ShownRow(f"c{at}", at, None, "accepted") for at in range(1500)))
    given = PageQuery("rejected", "http_rejected", "DND", "c1", "key", is_descending=True, after="1200", size=5)
    assert len(read(rows, given)) == 1501
    assert {query[:4] for query in rows.asked} == {("rejected", "http_rejected", "DND", "c1")}
    assert {query.order for query in rows.asked} == {"list"}, "to sort again for each page takes too long"
    assert len(rows.asked) == 2


def test_rows_of_files_that_are_searched_for_long_are_all_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_pages, "_PAGE_SECONDS", -1)
    files = ResultFiles(tmp_path, format="jsonl", try_number=1, recipient_of=key_of, key_column="id")
    files.write(give(*(made(at, Outcome.ACCEPTED if at % 1000 else Outcome.UNKNOWN) for at in range(1, 5001))))
    files.close(whole=True)
    text = "".join(csv_lines(ResultFiles(tmp_path), PageQuery(search="99")))
    expected = [f"c{at}" for at in range(1, 5001) if "99" in str(at)]
    assert [row[0] for row in csv.reader(io.StringIO(text))][1:] == expected


def test_what_cannot_be_read_is_said_before_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PageError):
        next(csv_lines(ResultFiles(tmp_path / "file"), PageQuery()))
