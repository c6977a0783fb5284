"""What a text instead of a list says, and that nothing secret of an address stands anywhere."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
from airflow_provider_omnichat.campaign.preview.budget import Budget
from airflow_provider_omnichat.campaign.results.directory import ResultFileError
from airflow_provider_omnichat.campaign.results.files import ResultFiles, read_results
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import AIRFLOW, HAS_STATE_STORE, needs_runner
from tests.support.batch_tasks import XCom, counts, number, people
from tests.support.list_sources import batch, decorated, giving
from tests.support.what_shows import shown_by

pytestmark = pytest.mark.usefixtures("ledger")

needs_store = pytest.mark.skipif(not HAS_STATE_STORE, reason="what is said of a storage is that of Airflow 3.3")

SECRET = "AKIA-S3CR3T-v4lue"
NUMBER = "41785559182"
HIDDEN = (SECRET, NUMBER, "785559", "Vreni", "X-Amz-Signature", "secret-user")


def assert_nothing_shows(run: Any, *logged: str) -> None:
    shown = [shown_by(run.error), json.dumps(run.rendered, default=str), json.dumps(run.xcom, default=str), *logged]
    for hidden in HIDDEN:
        for text in shown:
            assert hidden not in text, text[max(0, text.index(hidden) - 200) :][:400]


ROWS = [{"to": f"+{NUMBER}", "name": "Vreni", "page": "https://shop.example/x.csv"}]
TEXTS = {
    "repr of a list": str(ROWS),
    "JSON": json.dumps(ROWS),
    "JSON lines": json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[0]),
    "CSV": f"to,name\n+{NUMBER},Vreni",
    "a dict": str(ROWS[0]),
    "numbers": f"['+{NUMBER}']",
    "one number": f"+{NUMBER}",
    "two numbers": f"+{NUMBER},{NUMBER}",
    "a page first": f"https://shop.example Vreni +{NUMBER}",
    "a lazy list": "LazyXComSequence([2 items])",
    "a generator": "<generator object find at 0x7f41785559182>",
    "a tuple": f"('{NUMBER}', '/data/Vreni.csv')",
    "an address of a person": "Vreni@example.com",
    "another ending": "Vreni.xlsx",
}
texts = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


@texts
@pytest.mark.parametrize("argument", ["invites", "suppression"])
def test_a_text_of_a_list_says_what_happened_and_how_to_hand_it_over_and_shows_nothing(
    at_sandbox, caplog, capfd, text, argument
):
    given = {"invites": people(2), argument: text}
    run = run_task(batch(retries=5, **given), retries=5)
    assert run.state == "failed"
    told = str(run.error)
    assert told.startswith(f"Nothing was sent. {argument}: is a text of {len(text)} characters, and not the address")
    assert f"{argument}=find.output (an XComArg)" in told
    assert "render_template_as_native_obj=True" in told
    assert run.rendered[argument] == f"<text of {len(text)} characters>"
    assert at_sandbox.requests_seen == 0
    out = capfd.readouterr()
    assert_nothing_shows(run, caplog.text, out.out + out.err)


@needs_runner
@pytest.mark.parametrize("filtered", ["", " | tojson"])
@pytest.mark.parametrize("argument", ["invites", "suppression"])
def test_a_template_that_makes_a_text_of_the_list_of_another_task_is_told_so(at_sandbox, filtered, argument):
    template = "{{ ti.xcom_pull('find')" + filtered + " }}"
    given = {"invites": people(2), argument: template}
    run = run_task(batch(retries=5, **given), upstream={"find": ROWS}, retries=5)
    assert run.state == "failed"
    assert f"{argument}=find.output" in str(run.error)
    assert at_sandbox.requests_seen == 0
    assert_nothing_shows(run)


def test_a_text_that_a_function_gives_is_told_likewise(at_sandbox):
    run = run_task(decorated(giving(str(ROWS)), retries=5), retries=5)
    assert run.state == "failed"
    assert "Nothing was sent. invites: is a text of" in str(run.error)
    assert_nothing_shows(run)


# addresses


class Vault:
    """A path to a storage that fails, with all it knows in the text, and one error behind another."""

    name = f"due-{NUMBER}.csv"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __str__(self) -> str:
        return f"vault://secret-user:{SECRET}@store/{self.name}?X-Amz-Signature={SECRET}"

    def iterdir(self) -> Iterator[Any]:
        yield from ()

    def open(self, mode: str) -> Any:
        try:
            raise KeyError(str(self))
        except KeyError as behind:
            raise self._error from behind


FAILURES = {
    "a file": FileNotFoundError(2, "No such file", f"vault://secret-user:{SECRET}@store/due-{NUMBER}.csv"),
    "requests": OSError(f"Max retries exceeded with url: /due-{NUMBER}.csv?X-Amz-Algorithm=A&X-Amz-Signature={SECRET}"),
    "aiohttp": RuntimeError(f"403, message='Forbidden', url='https://h.example/x.csv?X-Amz-Signature={SECRET}'"),
    "a value": ValueError(f"cannot sign for secret-user with {SECRET} or +41 78 555 91 82"),
}


@pytest.mark.parametrize("error", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("argument", ["invites", "suppression"])
@pytest.mark.parametrize("how", [{}, {"budget": Budget(max_invites=9)}], ids=["once", "twice"])
def test_a_storage_that_fails_is_retried_and_what_it_says_shows_nothing(
    at_sandbox, caplog, capfd, error, argument, how
):
    from airflow_provider_omnichat.api.privacy import secrets_in

    path = Vault(error)
    assert SECRET in secrets_in(path)
    given = {"invites": people(2), argument: path}
    run = run_task(batch(retries=2, **given, **how), retries=2)
    assert run.state == "up_for_retry"
    assert f"The list cannot be read to its end ({type(error).__name__}: " in str(run.error)
    assert run.rendered[argument] == "vault://store/due-41785****82.csv"
    assert at_sandbox.requests_seen == 0
    out = capfd.readouterr()
    assert_nothing_shows(run, caplog.text, out.out + out.err)


@pytest.mark.parametrize("made", [str, Path])
@pytest.mark.parametrize("argument", ["invites", "suppression"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"due-{NUMBER}.csv", None),
        (f"{NUMBER}/due.csv", None),
        (f"due-{NUMBER}.csv", "phone,name\n1,2\n"),
        (f"due-{NUMBER}.csv", f"phone,name,about {NUMBER}\n1,2,3\n"),
        (f"due-{NUMBER}.csv", f"{NUMBER},Vreni\n"),
        (f"due-{NUMBER}.csv", '{"a": 1}'),
        (f"due-{NUMBER}.csv", ""),
        (f"due-{NUMBER}.csv.gz", f"{NUMBER}"),
        (f"due-{NUMBER}.jsonl", json.dumps({NUMBER: 1, "b": 2})),
        (f"due-{NUMBER}.xlsx", "x"),
    ],
)
def test_a_number_in_the_name_of_a_file_or_column_is_masked_whatever_is_wrong(
    at_sandbox, tmp_path, caplog, capfd, made, argument, name, content
):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    given = {"invites": people(2), argument: made(path)}
    run = run_task(batch(**given))
    assert run.state in ("failed", "up_for_retry")
    assert at_sandbox.requests_seen == 0
    out = capfd.readouterr()
    assert_nothing_shows(run, caplog.text, out.out + out.err)


@pytest.mark.parametrize(
    "address",
    [
        f"s3://secret-user:{SECRET}@bucket/due.csv",
        f"s3://secret-user:{SECRET}/more@bucket/due.csv",
        f"https://secret-user:{SECRET}@host.example/due.csv?X-Amz-Signature={SECRET}",
        f"simplecache::s3://secret-user:{SECRET}@bucket/due.csv",
    ],
)
@pytest.mark.parametrize("argument", ["invites", "suppression", "results_path"])
def test_a_user_and_password_in_an_address_are_refused_and_not_shown(at_sandbox, caplog, capfd, address, argument):
    given = {"invites": people(2), argument: address}
    run = run_task(batch(retries=5, **given), retries=5)
    assert run.state == "failed"
    assert f"Nothing was sent. {argument}: the address has a user and a password in it" in str(run.error)
    assert "s3://conn_id@bucket" in str(run.error)
    assert at_sandbox.requests_seen == 0
    out = capfd.readouterr()
    assert_nothing_shows(run, caplog.text, out.out + out.err)


@needs_store
@pytest.mark.parametrize(
    "address",
    [
        f"https://bucket.s3.amazonaws.com/due-{NUMBER}.csv?X-Amz-Credential=a%2F&X-Amz-Signature={SECRET}",
        f"https://{SECRET}@host.example/due.csv",
        f"nope://bucket/due.csv?X-Amz-Signature={SECRET}",
    ],
)
@pytest.mark.parametrize("argument", ["invites", "suppression"])
def test_a_storage_that_airflow_does_not_have_ends_the_task_at_once(at_sandbox, caplog, capfd, address, argument):
    given = {"invites": people(2), argument: address}
    run = run_task(batch(retries=5, **given), retries=5)
    assert run.state == "failed"
    assert f"Nothing was sent. {argument}: Airflow knows no storage for {address.partition(':')[0]}" in str(run.error)
    assert at_sandbox.requests_seen == 0
    out = capfd.readouterr()
    assert_nothing_shows(run, caplog.text, out.out + out.err)


@needs_store
@pytest.mark.parametrize("argument", ["invites", "suppression"])
def test_a_query_in_an_address_is_no_part_of_the_name(at_sandbox, tmp_path, caplog, capfd, argument):
    given = {"invites": people(2), argument: f"file://{tmp_path}/due.csv?X-Amz-Signature={SECRET}"}
    run = run_task(batch(retries=2, **given), retries=2)
    assert run.state == "up_for_retry"
    assert "FileNotFoundError" in str(run.error)
    assert run.rendered[argument] == f"file://{tmp_path}/due.csv"
    out = capfd.readouterr()
    assert_nothing_shows(run, caplog.text, out.out + out.err)


@needs_store
def test_the_name_of_a_connection_before_the_at_sign_is_left_out(at_sandbox):
    run = run_task(batch("s3://warehouse_login@bucket/due.csv"))
    assert run.state == "failed"
    assert run.rendered["invites"] == "s3://bucket/due.csv"
    assert "warehouse_login" not in shown_by(run.error)


def test_results_that_cannot_be_written_show_their_place_masked(at_sandbox, tmp_path, caplog, capfd):
    blocked = tmp_path / f"results-{NUMBER}"
    blocked.write_text("a file where a folder should be")
    run = run_task(batch(people(3), results_path=str(blocked)))
    assert run.state in ("failed", "up_for_retry")
    assert "results-41785****82" in str(run.error)
    run.xcom.clear()  # it has the place as it is, to be found
    out = capfd.readouterr()
    assert_nothing_shows(run, caplog.text, out.out + out.err)


class Sealed(Vault):
    """A directory that cannot be listed."""

    def exists(self) -> bool:
        raise OSError(f"cannot sign for secret-user with {SECRET}") from KeyError(str(self))


def test_results_on_a_storage_that_fails_show_nothing_of_its_address():
    files = ResultFiles(Sealed(OSError()), format="jsonl", try_number=1, recipient_of=str)  # type: ignore[arg-type]
    with pytest.raises(ResultFileError, match=r"vault://store/due-41785\*{4}82.csv cannot be listed: ") as error:
        files.earlier()
    shown = shown_by(error.value)
    assert not [hidden for hidden in HIDDEN if hidden in shown]


@pytest.mark.parametrize("token", ["ac02", "1234", "0000"])
def test_the_name_of_a_result_file_is_shown_whatever_digits_it_has(tmp_path, token):
    folder = tmp_path / f"results-{NUMBER}"
    folder.mkdir()
    name = f"sent-try-1-0001-{token}-0001.jsonl"
    (folder / name).write_text("no row\nno row\n")
    with pytest.raises(ResultFileError, match=rf"results-41785\*{{4}}82/{name}: line 1 is not a result row"):
        list(read_results(folder))


def test_the_place_of_the_results_can_be_found_and_the_log_shows_it_masked(at_sandbox, tmp_path, capfd):
    folder = tmp_path / "20261127"
    run = run_task(batch(people(3), results_path=folder))
    assert run.succeeded, run.error
    assert run.xcom["return_value"]["results"].startswith(str(folder))
    assert run.rendered["results_path"] == str(tmp_path / "20****7")
    out = capfd.readouterr()
    told = [line for line in (out.out + out.err).splitlines() if "3 accepted" in line]
    assert told or AIRFLOW < (3, 0)
    assert not [line for line in told if "20261127" in line]


@pytest.mark.parametrize("message", ["{a41785559182} <link>", "{41785559182} <link>", "{x.41785559182} <link>"])
def test_a_number_in_a_field_of_the_text_is_masked(at_sandbox, message):
    if message != "{a41785559182} <link>":
        with pytest.raises(ValueError, match=r"41785\*\*\*\*82") as refused:
            batch(people(2), message=message)
        assert NUMBER not in str(refused.value)
        return
    run = run_task(batch(people(2), message=message))
    assert run.state == "failed"
    assert str(run.error).startswith("Nothing was sent. ")
    assert_nothing_shows(run)


def test_a_number_in_a_field_that_a_row_lacks_is_masked(at_sandbox):
    rows: list[dict[str, Any]] = [{f"a{NUMBER}": "x"}, {f"a{NUMBER}": ""}, {}]
    rows = [{**one, "to": "nobody" if one.get(f"a{NUMBER}") else f"+{number(i)}"} for i, one in enumerate(rows)]
    run = run_task(batch(rows, message="{a41785559182} <link>"))
    assert run.state == "failed"
    without = run_task(batch([rows[0], rows[2]], message="{a41785559182} <link>"))
    assert "needs the field 'a41785****82', which is empty in this row" in str(run.error)
    assert "needs the field 'a41785****82', which is not in this row" in str(without.error)
    assert_nothing_shows(run)


@pytest.mark.parametrize("by", ["to_column", "key_column", "region_column", "send_window"])
def test_a_column_named_like_a_number_is_masked(at_sandbox, by):
    rows = [{f"+{NUMBER}": "x", **row} for row in people(2)]
    column: Any = f"00{NUMBER}"
    given = {by: SendWindow("00:00", "24:00", zone_column=column) if by == "send_window" else column}
    run = run_task(batch(rows, **given))
    assert run.state == "failed"
    assert "no row has a column" in str(run.error)
    assert_nothing_shows(run)


@needs_runner
def test_the_arguments_of_a_function_show_nothing_of_an_address(at_sandbox):
    def invite(address: str) -> list[dict[str, Any]]:
        return people(2)

    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_omnichat.decorators.omnichat_invite import omnichat_invite_task
    from tests.support.airflow_harness import START

    with DAG("invites", schedule=None, start_date=START):
        made: Any = omnichat_invite_task(invite, message="Hi <link>")
        task = made(f"https://host.example/due-{NUMBER}.csv?X-Amz-Signature={SECRET}").operator
    run = run_task(task)
    assert counts(run) == {"accepted": 2}
    assert "https://host.example/due-41785****82.csv" in json.dumps(run.rendered, default=str)
    assert_nothing_shows(run)


def test_the_helpers_of_this_file_find_what_is_shown(at_sandbox):
    run = run_task(decorated(giving([{"to": f"+{number(0)}", "name": "A"}])))
    run.xcom["leak"] = NUMBER
    with pytest.raises(AssertionError):
        assert_nothing_shows(run)
    assert XCom is not None


# names with # and ?, folders, trailing slashes


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("place", ["2026#11/due.csv", "2026?11/due.csv", "due#1.csv", "due?1.csv", "plain.csv/"])
@pytest.mark.parametrize("argument", ["invites", "suppression"])
def test_a_name_with_a_hash_or_a_question_mark_and_a_slash_behind_it_is_read(
    at_sandbox, tmp_path, scheme, place, argument
):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    address = f"{scheme}{tmp_path}/{place}"
    path = ObjectStoragePath(address.rstrip("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"to,name\n+{number(0)},Ada\n")
    run = run_task(batch(**{"invites": people(1), argument: address}))
    assert run.succeeded, run.error
    assert counts(run) == ({"accepted": 1} if argument == "invites" else {"suppressed": 1})


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("argument", ["invites", "suppression"])
def test_a_folder_is_said_to_be_one_and_not_tried_again(at_sandbox, tmp_path, scheme, slash, argument):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    address = f"{scheme}{tmp_path}/parts.csv"
    part = ObjectStoragePath(f"{address}/part-0.csv")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(f"to\n+{number(0)}\n")
    run = run_task(batch(retries=5, **{"invites": people(1), argument: address + slash}), retries=5)
    assert run.state == "failed"
    assert f"Nothing was sent. {argument}: " in str(run.error)
    assert "parts.csv is a folder; give the address of a file in it" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_a_folder_that_a_store_opens_as_an_empty_file_is_one(at_sandbox):
    class Marker(io.BytesIO):
        size = 0

    class Folder:
        name = "parts.csv"

        def open(self, mode: str) -> Any:
            return Marker()

        def iterdir(self) -> Any:
            return iter(())

        def is_dir(self) -> bool:
            return True

        def __str__(self) -> str:
            return "s3://bucket/parts.csv"

    run = run_task(batch(decorated(giving(Folder())).python_callable(), retries=5), retries=5)
    assert run.state == "failed"
    assert "invites: s3://bucket/parts.csv is a folder" in str(run.error)


@pytest.mark.parametrize("query", ["?token=AKIA-S3CR3T-v4lue&file=list.csv", "#token=AKIA-S3CR3T-v4lue/list.csv"])
def test_nothing_of_a_query_is_taken_for_a_name_that_shows(at_sandbox, query, caplog, capfd):
    run = run_task(batch("file:///bucket/download" + query))
    out = capfd.readouterr()
    assert not run.succeeded
    assert_nothing_shows(run, caplog.text, out.out + out.err)
