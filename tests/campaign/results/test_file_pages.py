"""Result files, a page at a time: every row once, whatever the address of a page says."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.pages import Order, PageError, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results import file_pages
from airflow_provider_omnichat.campaign.results.files import ResultFiles
from tests.support.reasons import why
from tests.support.result_files import Format
from tests.support.result_rows import give, key_of, made
from tests.support.row_pages import paged, positions

Files = Callable[..., ResultFiles]

OUTCOMES = [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN, Outcome.INVALID]
REASONS: dict[Outcome, dict[str, Any]] = {
    Outcome.REJECTED: {"reason": why("no", ReasonCode.HTTP_REJECTED), "status_name": "REJECTED_DND"},
    Outcome.UNKNOWN: {"reason": why("no answer")},
}
ODD_KEYS = ["<b>&\"'", "a,b", 'say "yes"', "two\nlines", "=1+1", " ", "ÄPFEL", '{"to": 1}', "\ud800half", ""]


def results(count: int) -> list[Result]:
    outcomes = [OUTCOMES[at % len(OUTCOMES)] for at in range(count)]
    return [made(at + 1, outcome, **REASONS.get(outcome, {})) for at, outcome in enumerate(outcomes)]


def wrote(files: ResultFiles, rows: list[Result], whole: bool = True) -> None:
    files.earlier()
    for start in range(0, len(rows), 20):
        files.write(give(*rows[start : start + 20]))
    files.close(whole=whole)


def local(directory: Path, rows: list[Result], format: Format = "jsonl", try_number: int = 1) -> None:
    wrote(
        ResultFiles(directory, format=format, try_number=try_number, recipient_of=key_of, key_column="customer_id"),
        rows,
    )


@pytest.mark.parametrize("size", [1, 7, 50])
def test_each_row_comes_once_and_as_it_was_written(files: Files, directory: Any, size: int) -> None:
    rows = results(120)
    wrote(files(), rows)
    found = paged(ResultFiles(directory), size=size)
    assert sorted(positions(found)) == list(range(1, 121))
    by_position = {row.position: row for row in found}
    for row in rows:
        shown = by_position[row.position]
        assert (shown.key, shown.number, shown.outcome) == (row.key, row.to, row.outcome.value)
        assert (shown.reason, shown.status, shown.try_number) == (row.error, row.status_name, None)
        assert shown.at is not None
        assert shown.at.isoformat() == "2026-07-30T12:00:00.250000+00:00"


def test_rows_are_filtered_and_searched(files: Files, directory: Any) -> None:
    wrote(files(), results(100))
    pages = ResultFiles(directory)
    for outcome in set(OUTCOMES):
        found = paged(pages, outcome=outcome.value, size=7)
        assert len(found) == 20 * OUTCOMES.count(outcome)
        assert {row.outcome for row in found} == {outcome.value}
    assert len(paged(pages, reason_code="read_timeout")) == 20
    assert len(paged(pages, status="REJECTED_DND", size=3)) == 20
    assert [row.key for row in paged(pages, search="C99")] == ["c99"]
    assert sorted(str(row.key) for row in paged(pages, search="9", outcome="rejected")) == ["c93", "c98"]
    assert paged(pages, outcome="accepted", reason_code="read_timeout") == paged(pages, outcome="no such") == []


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize(("order", "column"), [("key", "key"), ("outcome", "outcome"), ("time", "at")])
def test_rows_are_sorted(files: Files, directory: Any, order: Order, column: str, is_descending: bool) -> None:
    rows = results(60)
    random.Random(1).shuffle(rows)
    wrote(files(), [row._replace(at=f"2026-07-30T12:00:{row.position % 50:02d}+00:00") for row in rows])
    found = paged(ResultFiles(directory), order=order, is_descending=is_descending, size=7)
    values = [getattr(row, column) for row in found]
    assert values == sorted(values, reverse=is_descending)
    assert sorted(positions(found)) == list(range(1, 61))


def test_too_much_is_not_sorted(files: Files, directory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wrote(files(), results(10))
    assert ResultFiles(directory).sorts
    monkeypatch.setattr(file_pages, "_MOST_SORTED_BYTES", 100)
    assert not ResultFiles(directory).sorts
    with pytest.raises(PageError, match="Filter them instead"):
        ResultFiles(directory).page(PageQuery(order="key"))


def test_a_rare_row_among_many_is_found_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_pages, "_PAGE_SECONDS", -1)
    monkeypatch.setattr(file_pages, "_ROWS_BETWEEN_LOOKS_AT_THE_CLOCK", 100)
    rows = [made(1, Outcome.REJECTED)._replace(position=at) for at in range(1, 2001)]
    rows[1500] = rows[1500]._replace(key="needle")
    ResultFiles(tmp_path, format="jsonl", try_number=1, recipient_of=key_of, key_column="id").write(give(*rows))
    pages, query = ResultFiles(tmp_path), PageQuery(search="NEEDLE")
    found: list[ShownRow] = []
    steps = 0
    while True:
        page = pages.page(query)
        found += page.rows
        if page.after is None:
            break
        assert page.looked_at is not None
        assert 0 < page.looked_at < 2000
        query, steps = query._replace(after=page.after), steps + 1
    assert 10 <= steps <= 20
    assert positions(found) == [1501]


class TestTries:
    def test_what_no_later_try_has_replaced_yet_names_its_try(self, files: Files, directory: Any) -> None:
        wrote(files(4), [made(1), made(2, Outcome.UNKNOWN)])
        wrote(files(5), [made(3)], whole=False)
        pages = ResultFiles(directory)
        expected = {1: None, 2: 4, 3: None}
        assert {row.position: row.try_number for row in paged(pages)} == expected
        assert [row.try_number for row in paged(pages, outcome="unknown")] == [4], "also where only such files are read"
        assert {row.position: row.try_number for row in paged(pages, order="key")} == expected

    def test_no_row_is_missed_and_none_comes_twice_as_it_was_when_a_try_ends_between_two_pages(
        self, files: Files, directory: Any
    ) -> None:
        wrote(files(1), [*map(made, range(1, 6)), *(made(at, Outcome.NOT_SENT) for at in range(6, 21))])
        pages = ResultFiles(directory)
        first = pages.page(PageQuery(size=10))
        assert first.after is not None
        wrote(files(2), [*map(made, range(6, 16)), *(made(at, Outcome.NOT_SENT) for at in range(16, 21))])
        rows = [*first.rows, *paged(pages, size=10, after=first.after)]
        assert {row.position for row in rows} == set(range(1, 21))
        assert len({(row.position, row.outcome) for row in rows}) == len(rows)
        assert {row.position for row in rows if row.outcome == "accepted"} == set(range(1, 16))


class TestFilesThatGrow:
    @pytest.mark.parametrize("format", ["jsonl", "csv"])
    def test_a_line_that_is_being_written_is_a_row_once_it_is_whole(self, tmp_path: Path, format: Format) -> None:
        local(tmp_path, list(map(made, range(1, 5))), format)
        (file,) = tmp_path.iterdir()
        whole = file.read_bytes()
        file.write_bytes(whole[:-20])
        pages = ResultFiles(tmp_path)
        assert positions(paged(pages)) == [1, 2, 3]
        page = pages.page(PageQuery(size=2))
        file.write_bytes(whole)
        assert positions([*page.rows, *paged(pages, after=page.after)]) == [1, 2, 3, 4]

    def test_a_place_behind_half_a_line_misses_no_row(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file_pages, "_PAGE_SECONDS", -1)
        monkeypatch.setattr(file_pages, "_ROWS_BETWEEN_LOOKS_AT_THE_CLOCK", 1)
        local(tmp_path, list(map(made, range(1, 4))))
        (file,) = tmp_path.iterdir()
        whole = file.read_bytes()
        file.write_bytes(whole[:-20])
        pages, query, places = ResultFiles(tmp_path), PageQuery(search="no such"), [""]
        while (after := pages.page(query).after) is not None:
            query = query._replace(after=after)
            places.append(after)
        file.write_bytes(whole)
        assert positions(paged(pages, after=places[-1])) == [3]


class TestHostilePlaces:
    @pytest.mark.parametrize("format", ["jsonl", "csv"])
    def test_the_middle_of_a_line_gives_the_rows_behind_it(self, tmp_path: Path, format: Format) -> None:
        local(tmp_path, [made(1, key="c-a-long-key"), made(2), made(3)], format)
        (file,) = tmp_path.iterdir()
        text = file.read_bytes()
        whole = paged(ResultFiles(tmp_path))
        begins = [at for at in range(len(text)) if not at or text[at - 1 : at] == b"\n"][-3:]
        for offset in range(0, len(text) + 3, 1 if format == "csv" else 5):
            rows = paged(ResultFiles(tmp_path), after=f"{file.name}:{offset}")
            assert rows == [row for row, begin in zip(whole, begins, strict=True) if begin >= offset], offset

    @pytest.mark.parametrize(
        "after", ["../../etc/passwd:0", ":", "0", ":0", "{name}", "{name}:", "{name}:-1", "{name}:1.5", "/etc/hosts:3"]
    )
    def test_what_no_page_gave_is_the_beginning(self, tmp_path: Path, after: str) -> None:
        local(tmp_path, [made(1), made(2)])
        (file,) = tmp_path.iterdir()
        assert positions(paged(ResultFiles(tmp_path), after=after.format(name=file.name))) == [1, 2]

    @pytest.mark.parametrize("offset", [10**6, 2**63 - 1, 2**63, pytest.param(10**250, id="10**250")])
    @pytest.mark.parametrize("order", ["list", "key"])
    def test_far_behind_the_end_is_nothing(self, tmp_path: Path, offset: int, order: Order) -> None:
        local(tmp_path, [made(1), made(2)])
        (file,) = tmp_path.iterdir()
        name = file.name if order == "list" else "sorted"
        assert ResultFiles(tmp_path).page(PageQuery(after=f"{name}:{offset}", order=order)) == ([], None, None)


@pytest.mark.parametrize("is_sorted", [False, True])
def test_keys_of_all_sorts_stay_what_they_are(files: Files, directory: Any, is_sorted: bool) -> None:
    wrote(files(), [made(at, key=key) for at, key in enumerate(ODD_KEYS, 1)])
    found = paged(ResultFiles(directory), size=3, order="key" if is_sorted else "list")
    is_csv = any(path.name.endswith(".csv") for path in directory.iterdir())
    shown = {row.position: row.key for row in found}
    if is_csv:  # a cell is one line, and an empty one is none; half a character is written as an escape
        expected = [*(key.replace("\n", " ") for key in ODD_KEYS[:-2]), "\\ud800half", None]
    else:
        expected = [*ODD_KEYS[:-2], "\ufffdhalf", ""]
    assert [shown[at] for at in range(1, len(ODD_KEYS) + 1)] == expected
    assert "\n".join(map(str, shown.values())).encode(), "it can be sent to a browser"


def test_rows_without_keys(tmp_path: Path) -> None:
    files = ResultFiles(tmp_path, format="csv", try_number=1, recipient_of=key_of)
    wrote(files, [made(1), made(2)])
    assert [(row.key, row.position) for row in paged(ResultFiles(tmp_path), order="key")] == [(None, 1), (None, 2)]


def test_nothing_there_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a result file\n")
    for folder in (tmp_path, tmp_path / "missing"):
        assert ResultFiles(folder).page(PageQuery()) == ([], None, None)
        assert ResultFiles(folder).page(PageQuery(order="key")) == ([], None, None)


@pytest.mark.parametrize("order", ["list", "key"])
def test_what_cannot_be_read_says_which_file_and_why(tmp_path: Path, order: Order) -> None:
    local(tmp_path, [made(1)])
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()
    with pytest.raises(PageError, match=rf"{file.name} cannot be read: Is a directory"):
        ResultFiles(tmp_path).page(PageQuery(order=order))


def test_a_row_that_somebody_has_edited_gives_a_clear_error(tmp_path: Path) -> None:
    local(tmp_path, [made(1)])
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace('"2026-07-30T12:00:00.250+00:00"', "17"))
    with pytest.raises(PageError, match=rf"{file.name} cannot be read"):
        ResultFiles(tmp_path).page(PageQuery())


def test_a_folder_that_is_none_gives_a_clear_error_and_does_not_sort(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pages = ResultFiles(tmp_path / "file")
    assert not pages.sorts
    with pytest.raises(PageError, match="cannot be listed: Not a directory"):
        pages.page(PageQuery())
    assert pages.location == str(tmp_path / "file")
