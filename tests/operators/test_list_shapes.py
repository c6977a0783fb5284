"""What may stand where a list is meant, and what ends the task at once because it can never be one."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.preview.budget import Budget
from tests.support.airflow_harness import START, run_task
from tests.support.airflow_versions import needs_runner, needs_store
from tests.support.batch_tasks import MESSAGE, counts, number, people, rows_in
from tests.support.list_sources import Rows, batch, decorated, giving

pytestmark = pytest.mark.usefixtures("ledger")


def csv_at(path: Path, count: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("to,name\n" + "".join(f"+{number(i)},P{i}\n" for i in range(count)))
    return path


def assert_refused(run: Any, sandbox: Any, *words: str) -> None:
    assert run.state == "failed", run.error
    assert str(run.error).startswith("Nothing was sent. "), run.error
    for word in words:
        assert word in str(run.error)
    assert "4179" not in str(run.error)
    assert sandbox.requests_seen == 0


# paths


def object_path(path: Path) -> Any:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(str(path))


def universal_path(path: Path) -> Any:
    from upath import UPath

    return UPath(str(path))


PATHS = {"text": str, "Path": Path, "ObjectStoragePath": object_path, "UPath": universal_path}
every_path = pytest.mark.parametrize("made", PATHS.values(), ids=PATHS)


@every_path
def test_a_path_is_the_address_of_the_list_and_shown_as_such(at_sandbox, tmp_path, made):
    path = csv_at(tmp_path / "due.csv")
    run = run_task(batch(made(path)))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 3}
    assert run.rendered["invites"] == str(path)


@every_path
def test_a_path_is_the_address_of_the_opt_out_list(at_sandbox, tmp_path, made):
    path = csv_at(tmp_path / "out.csv", 2)
    run = run_task(batch(people(3), suppression=made(path)))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 1, "suppressed": 2}
    assert run.rendered["suppression"] == str(path)


@pytest.mark.parametrize("made", [str, Path])
@pytest.mark.parametrize("folder", ["lists", "."])
def test_a_path_may_be_relative_and_have_spaces(at_sandbox, tmp_path, monkeypatch, made, folder):
    monkeypatch.chdir(tmp_path)
    csv_at(tmp_path / folder / "due 1.csv")
    run = run_task(batch(made(f"{folder}/due 1.csv"), results_path=made(f"{folder}/results")))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 3}
    assert len(rows_in(tmp_path / folder / "results")) == 3


@needs_runner
@pytest.mark.parametrize("made", [Path, object_path])
def test_a_path_is_a_template(at_sandbox, tmp_path, made):
    csv_at(tmp_path / "2026-01-01.csv")
    run = run_task(batch(made(tmp_path / "{{ ds }}.csv"), results_path=tmp_path / "r" / "{{ ds }}"))
    assert run.succeeded, run.error
    assert run.rendered["invites"].endswith("/2026-01-01.csv")
    assert (tmp_path / "r" / "2026-01-01").is_dir()


@needs_runner
def test_a_path_that_a_mapped_task_is_expanded_to_is_data_and_no_template(at_sandbox, ledger, tmp_path):
    from airflow.sdk import DAG

    from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator

    path = csv_at(tmp_path / "{{ ds }}.csv")
    with DAG("invites", schedule=None):
        partial = SendInviteBatchOperator.partial(task_id="invite", message=MESSAGE, **ledger)
        task = partial.expand(invites=_upstream().output.map(Path))
    run = run_task(task, map_index=0, upstream={"find": [str(path)]})
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 3}


@pytest.mark.parametrize("name", ["suppression", "invites"])
def test_a_path_that_is_not_there_is_retried_since_the_file_may_come(at_sandbox, tmp_path, name):
    given = {"invites": people(2), name: tmp_path / "none.csv"}
    run = run_task(batch(retries=2, **given), retries=2)
    assert run.state == "up_for_retry"
    assert "The list cannot be read to its end (FileNotFoundError" in str(run.error)
    assert at_sandbox.requests_seen == 0


# lists in a list


def _upstream(mapped: bool = False) -> Any:
    from airflow.sdk import BaseOperator

    if not mapped:
        return BaseOperator(task_id="find")
    return BaseOperator.partial(task_id="find").expand(doc=["a", "b"])


def mapped_output() -> Any:
    from airflow.sdk import DAG

    with DAG("invites", schedule=None, start_date=START):
        return _upstream(mapped=True).output


@needs_runner
@pytest.mark.parametrize(
    "given",
    [
        [people(5)[:2], [], people(5)[2:]],
        people(5),
        [people(5)[0], people(5)[1:]],
        [people(5)],
    ],
    ids=["a list each", "a dict each", "both", "one task"],
)
@pytest.mark.parametrize("how", [{}, {"budget": Budget(max_invites=10)}], ids=["once", "twice"])
def test_what_mapped_tasks_give_is_one_list_numbered_through(at_sandbox, tmp_path, given, how):
    task = batch(mapped_output(), results_path=str(tmp_path), **how)
    run = run_task(task, upstream={"find": given})
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 5}
    rows = rows_in(tmp_path)
    assert [(row.position, row.to) for row in rows] == [(i + 1, number(i)) for i in range(5)]
    assert run.rendered["invites"] == "<LazyXComSequence>"


@needs_runner
def test_the_opt_out_lists_of_mapped_tasks_are_one(at_sandbox):
    opt_outs = [[f"+{number(0)}"], [{"to": f"+{number(1)}", "why": "x"}], []]
    run = run_task(batch(people(3), suppression=mapped_output()), upstream={"find": opt_outs})
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 1, "suppressed": 2}


def test_a_list_of_lists_is_shown_by_its_rows(at_sandbox):
    run = run_task(batch([people(2), people(3)[2:]]))
    assert counts(run) == {"accepted": 3}
    assert run.rendered["invites"] == "<list of 3 rows>"


def test_a_bare_dict_is_a_list_of_one_row(at_sandbox):
    run = run_task(batch(people(1)[0]))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 1}


def test_a_bare_dict_is_an_opt_out_list_of_one_row(at_sandbox):
    run = run_task(batch(people(2), suppression={"to": f"+{number(0)}", "since": "2026"}))
    assert counts(run) == {"accepted": 1, "suppressed": 1}
    assert run.rendered["suppression"] == "<dict of 2 fields>"


def test_a_function_may_give_pages_a_path_or_one_row(at_sandbox, tmp_path):
    def pages() -> Iterator[Any]:
        yield people(10)[:4]
        yield people(10)[4:]

    assert counts(run_task(decorated(pages))) == {"accepted": 10}
    path = csv_at(tmp_path / "due.csv")
    assert counts(run_task(decorated(giving(path), task_id="path"))) == {"accepted": 3}
    assert counts(run_task(decorated(giving(people(1)[0]), task_id="row"))) == {"accepted": 1}


# what can never be a list


class Frame:
    """As a data frame is: it can be iterated, over its columns."""

    def __init__(self, **methods: Any) -> None:
        self.__dict__.update(methods)

    def __iter__(self) -> Iterator[str]:
        return iter(["to", "name"])

    def __len__(self) -> int:
        return 2


NEVER = {
    "a number": (5, "must be a list of dicts, is a int"),
    "bytes": (b"to\n1", "is a bytes"),
    "numbers": ([1, 2], "item 1 must be a dict, is a int"),
    "texts": (["+41793026727"], "item 1 must be a dict, is a str"),
    "tuples of texts": ([("c-1", "+41793026727")], "item 1 is a tuple, and item 1 in it must be a dict, is a str"),
    "too deep": (
        [[[{"to": "+41793026727"}]]],
        "must be a dict, is a list; lists of lists are accepted",
    ),
    "a table": ({"to": ["+41793026727"], "name": ["P"]}, "a dict in which each value is a list"),
    "dicts in a dict": ({"c-1": {"to": "+41793026727"}}, "a dict in which each value is a dict"),
    "pandas": (Frame(iterrows=list, to_dict=dict), "is a Frame; pass its rows with .to_dict('records')"),
    "polars": (Frame(to_dicts=list), "pass its rows with .to_dicts()"),
    "pyarrow": (Frame(to_pylist=list), "pass its rows with .to_pylist()"),
    "frames": ([Frame(to_dicts=list)], "item 1 must be a dict, is a Frame; pass its rows with .to_dicts()"),
    "addresses": (["s3://bucket/a.csv", "s3://bucket/b.csv"], "give each a task with .expand(invites=...)"),
    "paths": ([Path("/data/a.csv")], "give each a task with .expand(invites=...)"),
    "None in it": ([{"to": "+41793026727"}, None], "item 2 must be a dict, is a NoneType"),
    "another file": ("/data/due.xlsx", "due.xlsx: the name must end in .csv"),
    "a path to another file": (Path("/data/due.parquet"), "due.parquet: the name must end in .csv"),
}
never = pytest.mark.parametrize(("given", "words"), NEVER.values(), ids=NEVER)


@never
@pytest.mark.parametrize(
    "how", [{}, {"budget": Budget(max_invites=10)}, {"dry_run": True}], ids=["once", "twice", "dry"]
)
def test_what_can_never_be_a_list_ends_the_task_at_once(at_sandbox, given, words, how):
    # From a function, so that no template engine touches it.
    assert_refused(run_task(decorated(giving(given), retries=5, **how), retries=5), at_sandbox, words)


@needs_runner
@pytest.mark.parametrize("given", [[1, 2], ["a", "b"], [[["x"]]], ["/data/a.csv"], [{"to": ["x"]}, 5]])
def test_what_mapped_tasks_give_that_is_no_list_ends_the_task_at_once(at_sandbox, given):
    run = run_task(batch(mapped_output(), retries=5), upstream={"find": given}, retries=5)
    assert run.state == "failed"
    assert "invites: " in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("given", [5, b"x", Frame(iterrows=list), Frame(to_dicts=list)])
def test_what_can_never_be_an_opt_out_list_ends_the_task_at_once(at_sandbox, given):
    assert_refused(run_task(batch(people(2), suppression=given, retries=5), retries=5), at_sandbox, "suppression: ")


@needs_store
def test_an_iterator_with_a_wrong_item_ends_the_task_for_good_and_the_mended_one_sends_the_rest(at_sandbox, tmp_path):
    wrong: list[Any] = ["+41793026727"]

    def invite() -> Iterator[Any]:
        yield from people(300)
        yield from wrong
        yield {"to": f"+{number(400)}", "name": "P"}

    store: dict[str, Any] = {}
    given = {"retries": 5, "results_path": str(tmp_path)}
    run = run_task(decorated(invite, **given), retries=5, store=store)
    assert run.state == "failed", "a retry would meet it again"
    assert "invites: item 301 must be a dict, is a str" in str(run.error)
    sent = len(at_sandbox.accepted)
    assert "Sending was stopped.\nSo far, " in str(run.error)
    assert 0 < sent == len([row for row in rows_in(tmp_path) if row.outcome == "accepted"]) <= 300
    assert counts(run)["accepted"] == sent
    assert "41793026727" not in str(run.error)
    wrong.clear()
    again = run_task(decorated(invite, **given), retries=5, store=store, try_number=2)
    assert again.succeeded, again.error
    assert counts(again) == {"accepted": 301}
    assert at_sandbox.requests_seen == 301


# files that are something else than their names say

TABLE = "to,name\n+41792000000,Ada\n+41792000001,Zoë\n"
LINES = '{"to": "+41792000000", "name": "Ada"}\n{"to": "+41792000001", "name": "Zoë"}\n'
ENCODINGS = {
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 without a byte order mark",
    "utf-16-be": "UTF-16 without a byte order mark",
    "utf-32": "UTF-32",
    "utf-32-le": "UTF-32 without a byte order mark",
    "utf-32-be": "UTF-32 without a byte order mark",
}


@pytest.mark.parametrize(("encoding", "told"), ENCODINGS.items())
@pytest.mark.parametrize("name", ["due.csv", "due.tsv", "due.csv.gz", "due.jsonl", "due.json", "due.jsonl.gz"])
@pytest.mark.parametrize("argument", ["invites", "suppression"])
def test_another_encoding_is_told_by_name(at_sandbox, tmp_path, encoding, told, name, argument):
    content = (LINES if "json" in name else TABLE).encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    given = {"invites": people(2), argument: str(tmp_path / name)}
    assert_refused(
        run_task(batch(retries=5, **given), retries=5), at_sandbox, f"{name}: is {told}; save the file as UTF-8"
    )


def _workbook() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return packed.getvalue()


DISGUISED = {
    "a workbook": (_workbook(), "is an Excel workbook"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "is an old Excel workbook"),
    "parquet": (b"PAR1\x15\x04\x15\n" + bytes(50) + b"PAR1", "is a Parquet file"),
    "gzip": (gzip.compress(TABLE.encode()), "is compressed with gzip; give it a name that ends in .gz"),
    "a page": (b"<!DOCTYPE html>\n<html>Sign in</html>", "is a web page or XML"),
    "JSON lines": (LINES.encode(), "contains JSON; give it a name that ends in .jsonl"),
    "an error of S3": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "is a web page or XML"),
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in DISGUISED
        for name in ("due.csv", "due.jsonl")
        if (kind, name) != ("JSON lines", "due.jsonl")
    ],
)
def test_a_file_that_is_something_else_is_told_by_name(at_sandbox, tmp_path, kind, name):
    content, told = DISGUISED[kind]
    (tmp_path / name).write_bytes(content)
    assert_refused(run_task(batch(tmp_path / name, retries=5), retries=5), at_sandbox, f"{name}: {told}")


@pytest.mark.parametrize("name", ["due.csv.gz", "due.jsonl.gz"])
def test_a_file_that_is_not_packed_and_named_so_is_told_and_shows_nothing_of_itself(at_sandbox, tmp_path, name):
    (tmp_path / name).write_text("41792000000\n")
    run = run_task(batch(tmp_path / name, retries=5), retries=5)
    assert_refused(run, at_sandbox, f"{name}: the archive is damaged", "it is not compressed with gzip")
    assert "b'" not in str(run.error)


@pytest.mark.parametrize("name", ["due.csv", "due.jsonl"])
def test_a_nul_in_a_row_makes_that_row_invalid(at_sandbox, tmp_path, name):
    if name == "due.csv":
        content = TABLE + "+41792000002,A\x00a\n"
    else:
        content = LINES + '{"to": "+41792000002", "name": "A\x00a"}\n'
    (tmp_path / name).write_text(content)
    run = run_task(batch(tmp_path / name, results_path=str(tmp_path / "r")))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 2, "invalid": 1}
    assert "has a NUL character in it" in str(rows_in(tmp_path / "r")[2].error)


def test_a_nul_in_the_header_is_refused(at_sandbox, tmp_path):
    (tmp_path / "due.csv").write_text("to,na\x00me,first name\n+41792000002,A,B\n")
    assert_refused(run_task(batch(tmp_path / "due.csv")), at_sandbox, "due.csv: line 1 has a NUL character in it")


@pytest.mark.parametrize("bad", ["{'to': 1}", "[]", json.dumps("x")])
def test_a_list_of_nothing_but_broken_lines_is_told_by_its_lines(at_sandbox, tmp_path, bad):
    (tmp_path / "due.jsonl").write_text(f"{bad}\n{bad}\n")
    run = run_task(batch(tmp_path / "due.jsonl", retries=1), retries=1)
    assert run.state == "failed"
    assert "Not one of 2 rows could be sent" in str(run.error)


class Lazy(dict[str, Any]):
    """A row that looks its values up, and fails with the name of a person."""

    def get(self, key: Any, default: Any = None) -> Any:
        raise LookupError("no consent of Anna Müller")


@needs_store
def test_a_row_that_fails_when_it_is_looked_at_does_not_say_whose_it_is(at_sandbox, caplog):
    run = run_task(batch(Rows([*people(2), Lazy(to=f"+{number(2)}", name="A")]), retries=1), retries=1)
    assert run.state == "up_for_retry"
    assert "The list cannot be read to its end (LookupError)" in str(run.error)
    assert "Anna" not in f"{run.error}{caplog.text}{run.xcom}"
