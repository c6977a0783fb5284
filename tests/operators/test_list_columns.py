"""A column that is named is found alike in everything that gives a list, or nothing is sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
from airflow_provider_omnichat.campaign.preview.budget import Budget
from airflow_provider_omnichat.campaign.rows import columns
from tests.support.airflow_harness import run_task
from tests.support.batch_tasks import counts, number, people, rows_in
from tests.support.list_sources import EVERY_KIND, WITHOUT_HEADER, Sources, batch

pytestmark = pytest.mark.usefixtures("ledger")

WHOLE_DAY = SendWindow("00:00", "24:00", zone_column="zone")
every_kind = pytest.mark.parametrize("kind", EVERY_KIND)
without_header = pytest.mark.parametrize("kind", WITHOUT_HEADER)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    return Sources(tmp_path, monkeypatch)


def assert_refused(run: Any, sandbox: Any, *words: str) -> None:
    assert run.state == "failed", run.error
    assert str(run.error).startswith("Nothing was sent. "), run.error
    for word in words:
        assert word in str(run.error)
    assert sandbox.requests_seen == 0


@every_kind
@pytest.mark.parametrize(
    "written",
    [
        {"mobile": "mobile", "country": "country", "id": "id", "zone": "zone", "name": "name"},
        {"mobile": "Mobile", "country": "Country", "id": "ID", "zone": "ZONE", "name": "Name"},
        {"mobile": "MOBILE", "country": " country ", "id": "Id\u00a0", "zone": "\tZone", "name": "NAME "},
    ],
    ids=["exact", "capitals", "white space"],
)
def test_a_column_is_found_without_regard_to_capitals_and_white_space(at_sandbox, sources, tmp_path, kind, written):
    rows = [
        {"mobile": "06 12 34 56 78", "country": "FR", "id": "c-1", "zone": "Europe/Paris", "name": "Zoé"},
        {"mobile": "079 302 67 27", "country": "", "id": "c-2", "zone": "", "name": "Ada"},
    ]
    task = sources.task(
        kind,
        [{written[name]: value for name, value in row.items()} for row in rows],
        message="Hello {name} <link>",
        to_column="mobile",
        region_column="country",
        key_column="id",
        send_window=WHOLE_DAY,
        default_region="CH",
        results_path=str(tmp_path / "results"),
    )
    run = run_task(task)
    assert run.succeeded, run.error
    sent = {sms.to: sms.message for sms in at_sandbox.accepted}
    # With the country lost, the first would be +41 61 234 56 78, somebody in Basel.
    assert sent == {"33612345678": "Hello Zoé <link>", "41793026727": "Hello Ada <link>"}
    assert [row.key for row in rows_in(tmp_path / "results")] == ["c-1", "c-2"]


@every_kind
@pytest.mark.parametrize(
    ("given", "column", "by"),
    [
        ({}, "to", "to_column"),
        ({"to_column": "phone"}, "phone", "to_column"),
        ({"to_column": "mobile", "region_column": "country"}, "country", "region_column"),
        ({"to_column": "mobile", "key_column": "customer_id"}, "customer_id", "key_column"),
        ({"to_column": "mobile", "send_window": WHOLE_DAY}, "zone", "send_window.zone_column"),
        ({"to_column": "mobile", "message": "Hi {last_name} <link>"}, "last_name", "message"),
    ],
)
@pytest.mark.parametrize(
    "how", [{}, {"budget": Budget(max_invites=100)}, {"dry_run": True}], ids=["once", "twice", "dry"]
)
def test_a_column_that_is_nowhere_is_refused_before_the_first_send(at_sandbox, sources, kind, given, column, by, how):
    rows = [{"mobile": f"+{number(i)}", "name": "P", "+41 79 302 67 27": "x"} for i in range(5)]
    if kind.startswith(("csv", "tsv")):  # a header with a number in it is refused for that
        rows = [{**{n: v for n, v in row.items() if n[0] != "+"}, "about 41793026727": "x"} for row in rows]
    run = run_task(sources.task(kind, rows, retries=2, **given, **how), retries=2)
    assert_refused(run, at_sandbox, f"no column '{column}'" if kind not in WITHOUT_HEADER else f"column '{column}'")
    assert f"Correct the list or {by}" in str(run.error)
    assert "mobile, name, " in str(run.error)
    assert "****27" in str(run.error)
    assert "return_value" not in run.xcom


def test_a_text_column_of_a_query_that_is_not_there_is_refused(at_sandbox, sources):
    run = run_task(sources.task("query", people(2), message_column="note"))
    assert_refused(run, at_sandbox, "The query gives no column 'note'; its columns are to, name, id")


@every_kind
@pytest.mark.parametrize("column", ["to", "country", "name"])
def test_two_columns_that_could_be_meant_are_refused_and_named(at_sandbox, sources, kind, column):
    plain = {"to": f"+{number(0)}", "country": "CH", "name": "P"}
    rows = [{key: value for key, value in plain.items() if key != column}] * 3
    rows = [{**row, column.title(): plain[column], column.upper(): plain[column]} for row in rows]
    run = run_task(sources.task(kind, rows, region_column="country", message="Hi {name} <link>", retries=1), retries=1)
    assert_refused(run, at_sandbox, f"'{column.title()}' and '{column.upper()}' could each be the column '{column}'")


@every_kind
def test_the_one_that_is_written_so_is_taken_before_all_others(at_sandbox, sources, kind):
    rows = [{"To": "+41790000001", "TO": "+41790000002", "to": f"+{number(0)}"}]
    run = run_task(sources.task(kind, rows))
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == [number(0)]


@every_kind
def test_a_text_and_placeholder_of_the_row_are_found_likewise_and_need_not_be_there(at_sandbox, sources, kind):
    rows = [
        {"to": f"+{number(0)}", "Message": "Own ##", "LINK_PLACEHOLDER": "##"},
        {"to": f"+{number(1)}", "Message": "", "LINK_PLACEHOLDER": ""},
    ]
    run = run_task(sources.task(kind, rows))
    assert run.succeeded, run.error
    assert {sms.message for sms in at_sandbox.accepted} == {"Own ##", "Hello <link>"}


@every_kind
def test_one_column_may_serve_twice_under_two_spellings(at_sandbox, sources, tmp_path, kind):
    rows = [{"MOBILE": f"+{number(i)}", "x": ""} for i in range(2)]
    task = sources.task(
        kind, rows, to_column="mobile", key_column="Mobile", message="{MOBILE} <link>", results_path=str(tmp_path / "r")
    )
    run = run_task(task)
    assert run.succeeded, run.error
    assert [row.key for row in rows_in(tmp_path / "r")] == [f"+{number(i)}" for i in range(2)]


@without_header
def test_what_some_rows_have_is_taken_where_it_is_and_is_empty_where_not(at_sandbox, sources, kind, monkeypatch):
    monkeypatch.setattr(columns, "_HELD_ROWS", 100)
    rows: list[dict[str, Any]] = [{"to": f"+{number(i)}"} for i in range(150)]
    rows[140] = {"TO": "06 12 34 56 78", "Country": "FR"}
    rows[141] = {"name": "nobody"}
    run = run_task(sources.task(kind, rows, region_column="country", default_region="CH"))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 149, "invalid": 1}
    assert "33612345678" in {sms.to for sms in at_sandbox.accepted}


@without_header
def test_a_row_of_which_it_cannot_be_told_is_invalid_and_the_others_are_sent(at_sandbox, sources, tmp_path, kind):
    rows = [{"to": f"+{number(0)}"}, {"To": "+41790000001", "TO": "+41790000002"}, {"to": f"+{number(2)}"}]
    run = run_task(sources.task(kind, rows, results_path=str(tmp_path / "r")))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 2, "invalid": 1}
    (bad,) = [row for row in rows_in(tmp_path / "r") if row.outcome == "invalid"]
    assert (bad.position, "'To' and 'TO' could each be the column 'to'" in str(bad.error)) == (2, True)


@without_header
def test_a_list_without_rows_lacks_no_column(at_sandbox, sources, kind):
    run = run_task(sources.task(kind, [], region_column="country", on_empty="succeed"))
    assert run.succeeded, run.error


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "query"])
def test_a_header_is_looked_at_also_where_there_are_no_rows(at_sandbox, sources, kind):
    task = sources.task(kind, [{"to": "x", "name": "y"}], region_column="country")
    if kind == "query":
        task.sql = task.sql.replace("ORDER BY", "WHERE 1 = 0 ORDER BY")
    else:
        path = Path(task.invites)
        path = path.with_name("empty.tsv" if kind == "tsv" else "empty.csv")
        path.write_text("to\tname\n" if kind == "tsv" else "to,name\n")
        task.invites = str(path)
    assert_refused(run_task(task), at_sandbox, "'country'; its columns are to, name")


def test_an_iterator_is_read_in_one_thread(at_sandbox, tmp_path):
    """As a cursor of SQLite wants it, which belongs to the thread that made it."""
    path = tmp_path / "people.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE people (mobile)")
        database.executemany("INSERT INTO people VALUES (?)", [(f"+{number(i)}",) for i in range(300)])
        database.commit()

    class Found:
        def __iter__(self) -> Iterator[dict[str, Any]]:
            with closing(sqlite3.connect(path)) as database:
                for (mobile,) in database.execute("SELECT mobile FROM people"):
                    yield {"Mobile": mobile}

    run = run_task(batch(Found(), message="Hi <link>", to_column="mobile"))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 300}


# opt-out lists

OPT_OUT_KINDS = ("csv", "tsv", "csv.gz", "query", "jsonl", "list", "lists in a list", "iterator")
opt_out_kinds = pytest.mark.parametrize("kind", OPT_OUT_KINDS)
INVITES = [
    {"phone": "+33612345678", "country": "", "name": "Zoé"},
    {"phone": "+41612345678", "country": "", "name": "Ida"},
]


def without(opt_outs: Any, **given: Any) -> Any:
    fields = {"to_column": "phone", "region_column": "country", "default_region": "CH", **given}
    return run_task(batch(INVITES, suppression=opt_outs, **fields))


@opt_out_kinds
def test_the_columns_of_an_opt_out_list_are_found_without_regard_to_capitals(at_sandbox, sources, kind):
    opt_outs = sources.given(kind, [{"since": "2026-01-01", "Phone": "06 12 34 56 78", " COUNTRY": "FR"}])
    run = without(opt_outs)
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == ["41612345678"]


@opt_out_kinds
@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"mobile": "+33612345678", "country": "FR"}, "has no column 'phone' (it has 'mobile', 'country')"),
        ({"phone": "06 12 34 56 78", "land": "FR"}, "no row has a column 'country', as region_column names it"),
        ({"Phone": "+33612345678", "PHONE": "+41612345678", "country": ""}, "'Phone' and 'PHONE' could each be"),
        ({"phone": "06 12 34 56 78", "Country": "FR", "COUNTRY": "CH"}, "'Country' and 'COUNTRY' could each be"),
    ],
)
def test_an_opt_out_list_without_a_column_that_is_named_is_refused(at_sandbox, sources, kind, row, words):
    assert_refused(without(sources.given(kind, [row, row])), at_sandbox, "suppression: ", words)


@opt_out_kinds
def test_the_only_column_of_an_opt_out_list_is_its_number_whatever_it_is_called(at_sandbox, sources, kind):
    run = without(sources.given(kind, [{"who": "+33612345678"}, {"who": None}]))
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == ["41612345678"]


@pytest.mark.parametrize("numbers", [["+33612345678"], ("+33612345678",), {"+33612345678"}, [["+33612345678"], []]])
def test_a_list_of_plain_numbers_has_no_columns(at_sandbox, numbers):
    run = without(numbers)
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == ["41612345678"]
