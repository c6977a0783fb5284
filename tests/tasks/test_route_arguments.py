"""``link``, ``sender`` and ``shorten_links`` mean the same to everything that sends, looks up or follows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.decorators.omnichat_invite import omnichat_invite_task
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.notifications.omnichat import _BEGUN, OmnichatInviteNotifier
from airflow_provider_omnichat.operators.omnichat import SettleInvitesOperator
from airflow_provider_omnichat.sandbox import Sandbox, Settings
from tests.support.airflow_harness import START, run_task
from tests.support.airflow_versions import needs_store
from tests.support.batch_tasks import batch, counts, number, people
from tests.support.delivery_tasks import counts as counted
from tests.support.delivery_tasks import run_through, sensor
from tests.support.queried_people import invites as queried
from tests.support.single_tasks import invite as single
from tests.support.sql_connections import connected

pytestmark = needs_store

LINK = "https://t.me/acme_bot"
TO = f"+{number(0)}"
TEXT = "Hello Zoé, follow us at <link>"


@pytest.fixture
def vendor(connection: Callable[..., Any]) -> Iterator[Sandbox]:
    """A vendor that recognises its ids only in its logs, and a connection without an application."""
    with Sandbox(seed=1, settings=Settings(repeated_ids="late", delivery_after=(0.0, 0.0))) as sandbox:
        connect(connection, sandbox)
        yield sandbox


def connect(connection: Callable[..., Any], sandbox: Sandbox, **extra: Any) -> None:
    user, password = sandbox.auth
    none = {"application_key": "", "integration_type": ""}
    connection(sandbox.url, login=user, password=password, extra={**none, "log_delay": 1, "timeout": 60, **extra})


TASKS = ["single", "batch", "query", "decorator", "notifier"]


@pytest.fixture(params=[*TASKS, "hook"])
def send(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Send one invite with the arguments of the route; return what a user reads of it: the result, or the error."""
    caplog.set_level(logging.INFO)

    def of_task(task: Any) -> str:
        run = run_task(task)
        return f"{run.xcom} {run.error}"

    def through_a_query(**given: Any) -> str:
        warehouse = connected("sqlite3", request, tmp_path, monkeypatch)
        warehouse.fill("people", "id mobile first_name", [("c-1", TO, "Zoé")])
        return of_task(queried(retry_budget=5, **given))

    def through_a_function(**given: Any) -> str:
        def invite() -> list[dict[str, str]]:
            return [{"to": TO}]

        with DAG("invites", schedule=None, start_date=START):
            decorated: Any = omnichat_invite_task(invite, message=TEXT, retry_budget=5, ledger_patience=0, **given)
            return of_task(decorated().operator)

    def through_a_callback(**given: Any) -> str:
        _BEGUN.clear()
        ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", try_number=1, map_index=-1)
        context: Any = {"dag": DAG("d", schedule=None, start_date=START), "ti": ti, "run_id": "r"}
        OmnichatInviteNotifier(to=TO, message=TEXT, retry_budget=5, **given)(context)
        shown = capfd.readouterr()
        return shown.out + shown.err + caplog.text

    def through_the_hook(**given: Any) -> str:
        hook = OmnichatHook(retry_budget=5)
        try:
            return str(hook.send_invite(TO, TEXT, **given).to_json())
        except OmnichatError as error:
            return str(error)
        finally:
            hook.close()

    ways: dict[str, Callable[..., str]] = {
        "single": lambda **given: of_task(single(to=TO, message=TEXT, retry_budget=5, **given)),
        "batch": lambda **given: of_task(batch([{"to": TO}], message=TEXT, retry_budget=5, **given)),
        "query": through_a_query,
        "decorator": through_a_function,
        "notifier": through_a_callback,
        "hook": through_the_hook,
    }
    return ways[request.param]


def test_the_link_is_put_in_and_the_sms_api_used_without_an_application(vendor, send):
    said = send(link=LINK, sender="ACME", shorten_links=True)
    (receipt,) = vendor.accepted
    assert receipt.text == f"Hello Zoé, follow us at {LINK}"
    assert (receipt.to, receipt.sender, receipt.application_key) == (number(0), "ACME", "")
    assert receipt.options["tracking"] == {"shortenUrl": True, "trackClicks": True}
    assert receipt.message_id in said or "'accepted': 1" in said


def test_the_connection_names_the_sender_and_no_link_is_shortened_unless_asked_for(vendor, send, connection):
    connect(connection, vendor, sender="Acme2")
    send(link=LINK)
    (receipt,) = vendor.accepted
    assert receipt.sender == "Acme2"
    assert "tracking" not in receipt.options


@pytest.mark.parametrize("send", TASKS, indirect=True)
def test_link_and_sender_are_templated(vendor, send):
    send(link="https://t.me/{{ 'acme' }}_bot", sender="{{ 'ACME' }}")
    (receipt,) = vendor.accepted
    assert (receipt.text, receipt.sender) == (f"Hello Zoé, follow us at {LINK}", "ACME")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"link": "{{ 't.me' }}/s3cr3t"}, "link: must be an absolute URL such as"),
        ({"link": LINK, "sender": "{{ 'A' }} B"}, "sender: must be 3 to 11 letters and digits"),
        ({"sender": "ACME"}, "sender: needs link"),
        ({"shorten_links": True}, "needs link, as shorten_links does"),
    ],
    ids=["no URL", "no sender", "a sender without a link", "shortened without a link"],
)
def test_what_is_wrong_is_named_and_nothing_is_sent(vendor, send, given, said):
    found = send(**given)
    assert said in found
    assert "s3cr3t" not in found
    assert vendor.requests_seen == 0


def test_a_doubt_is_repeated_under_its_id_and_reaches_the_person_once(vendor, send, connection):
    connect(connection, vendor, idempotent_sending=True)
    vendor.script("drop-after")
    said = send(link=LINK)
    assert "'accepted': 1" in said or vendor.accepted[0].message_id in said, said
    assert [receipt.accepted for receipt in vendor.outbox] == [True, False]
    assert len({receipt.message_id for receipt in vendor.outbox}) == 1


def test_nothing_is_repeated_unless_the_connection_says_so(vendor, send):
    vendor.script("drop-before")
    said = send(link=LINK)
    assert "'unknown': 1" in said or "may have been sent" in said, said
    assert vendor.requests_seen == 1


@pytest.mark.parametrize("way", ["batch", "query"])
def test_what_the_vendor_has_taken_is_looked_up_by_its_id_in_the_same_try(vendor, way, request, tmp_path, monkeypatch):
    vendor.script("drop-after", "drop-before")
    given: dict[str, Any] = {"link": f"{LINK}?start={{id}}", "on_unknown": "lookup", "concurrency": 1}
    if way == "query":
        warehouse = connected("sqlite3", request, tmp_path, monkeypatch)
        rows = [(f"c{i}", f"+{number(i)}", f"P{i}") for i in range(3)]
        warehouse.fill("people", "id mobile first_name", rows)
        run = run_task(queried(**given))
    else:
        run = run_task(batch(people(3), **given))
    assert counts(run) == {"accepted": 2, "unknown": 1}
    assert vendor.requests_seen == 3
    assert {receipt.text for receipt in vendor.outbox} == {
        f"Hello P{i}, follow us at {LINK}?start=c{i}" for i in range(3)
    }


def test_what_a_task_left_in_doubt_is_settled_by_its_id(vendor, ledger):
    vendor.script("drop-after", "drop-before")
    first = run_task(batch(people(3), link=LINK, campaign="spring", concurrency=1, **ledger))
    assert counts(first) == {"accepted": 1, "unknown": 2}
    # A second message to the same person, which a look-up by number would have to leave open.
    hook = OmnichatHook(retry_budget=5)
    hook.send_invite(f"+{number(0)}", TEXT, link=LINK)
    hook.close()
    done = run_task(SettleInvitesOperator(task_id="settle", patience=0, campaign="spring", **ledger))
    assert done.xcom["return_value"] == {"campaign": "spring", "found": 1, "still_in_doubt": 1}


@pytest.mark.parametrize("way", ["single", "batch"])
def test_the_sensor_follows_what_was_sent_under_ids_of_ours(vendor, way, tmp_path):
    if way == "single":
        run = run_task(single(to=TO, link=LINK))
    else:
        run = run_task(batch(people(3), link=LINK, results_path=str(tmp_path)))
    assert run.succeeded, run.error
    sent = run.xcom["return_value"]
    followed = run_through(sensor(sent))
    assert followed.succeeded, followed.error
    assert counted(followed) == {"delivered": 1 if way == "single" else 3}


def test_a_dry_run_of_a_query_counts_the_link_and_sends_nothing(vendor, request, tmp_path, monkeypatch):
    warehouse = connected("sqlite3", request, tmp_path, monkeypatch)
    warehouse.fill("people", "id mobile first_name", [("c-1", TO, "Ada")])
    run = run_task(queried(link=f"{LINK}?start={{id}}", sender="ACME", dry_run=True))
    preview = run.xcom["return_value"]["preview"]
    assert preview["segments"]["assumed_link_length"] is None
    assert preview["samples"][0]["message"].endswith(LINK), "what a link says of a person is not shown"
    assert vendor.requests_seen == 0
