"""Invites with a link of the user's own: through the SMS API, under ids of ours, by which doubts resolve themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendInviteOperator
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_store
from tests.support.batch_tasks import batch, counts, number, people, rows_in
from tests.support.patience import wait_until
from tests.support.sms_server import DUPLICATE, SmsServer

LINK = "https://t.me/acme_bot?start={id}&n={name}"
ID = re.compile(r"[a-p]{32}-[a-p]{8}")
KINDS = ["task state store", "sql"]


@pytest.fixture
def vendor(connection: Callable[..., Any]) -> Iterator[Callable[..., SmsServer]]:
    """Start a vendor, and set the connection to it; *extra* is of the connection."""
    with ExitStack() as opened:

        def start(*plays: str | int, repeats: str = "late", logs_status: int = 200, **extra: Any) -> SmsServer:
            server = opened.enter_context(SmsServer(repeats, *plays, logs_status=logs_status))
            connect(server, **extra)
            return server

        def connect(server: SmsServer, **extra: Any) -> None:
            keys = {"application_key": "", "integration_type": "", "log_delay": 1, "timeout": 60}
            connection(server.url, extra={**keys, **extra})

        start.connect = connect  # type: ignore[attr-defined]
        yield start


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, ledger: dict[str, Any]) -> dict[str, Any]:
    return ledger if request.param == "sql" else {}


def linked(invites: Any, **given: Any) -> SendInviteBatchOperator:
    return batch(invites, **{"link": LINK, "concurrency": 1, **given})


def single(**given: Any) -> SendInviteOperator:
    fields = {"to": f"+{number(0)}", "message": "Hi, <link>", "link": "https://t.me/acme_bot", "retry_budget": 5}
    return SendInviteOperator(task_id="invite", **{**fields, **given})


def ids(server: SmsServer) -> list[str]:
    return [body["messages"][0]["destinations"][0]["messageId"] for body in server.requests]


@needs_store
def test_the_link_is_put_in_here_and_no_application_is_needed(vendor, tmp_path):
    server = vendor(sender="ACME")
    invites = [{"to": f"+{number(0)}", "name": "Zoé & Co", "id": "a/b?c"}]
    run = run_task(linked(invites, results_path=str(tmp_path), sender="Acme1", shorten_links=True))
    assert run.succeeded, run.error
    (body,) = server.requests
    (message,) = body["messages"]
    assert (
        message["content"]["text"]
        == "Hello Zoé & Co, follow us at https://t.me/acme_bot?start=a%2Fb%3Fc&n=Zo%C3%A9%20%26%20Co"
    )
    assert message["sender"] == "Acme1"
    assert message["options"].keys() == {"campaignReferenceId"}
    assert number(0) not in message["options"]["campaignReferenceId"]
    tracking = {"shortenUrl": True, "trackClicks": True}
    assert body["options"] == {"includeSmsCountInResponse": True, "tracking": tracking}
    assert server.paths == ["/sms/3/messages"]
    (row,) = rows_in(tmp_path)
    assert (row.outcome, row.message_id, row.message_count) == ("accepted", ids(server)[0], 1)
    assert ID.fullmatch(ids(server)[0])


@needs_store
def test_the_connection_has_the_sender_of_tasks_that_name_none(vendor):
    server = vendor(sender="ACME")
    assert run_task(linked(people(1))).succeeded
    assert server.requests[0]["messages"][0]["sender"] == "ACME"
    assert "tracking" not in server.requests[0]["options"]


@needs_store
def test_an_sms_ends_with_the_send_window(vendor):
    server = vendor()
    assert run_task(linked(people(1), send_window=("00:00", "23:59"))).succeeded
    validity = server.requests[0]["messages"][0]["options"]["validityPeriod"]
    assert validity["timeUnit"] == "MINUTES"
    assert 1 <= validity["amount"] <= 24 * 60


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"link": "t.me/acme"}, "link: must be an absolute URL"),
        ({"link": "ftp://t.me/acme"}, "link: must be an absolute URL"),
        ({"link": "https://t.me/a b"}, "link: must be an absolute URL"),
        ({"link": "https://t.me/{a.b}"}, "link template, character 14"),
        ({"sender": "A B"}, "sender: must be 3 to 11 letters and digits"),
        ({"sender": "+41790000000"}, "sender: must be 3 to 11 letters and digits"),
        ({"shorten_links": "yes"}, "shorten_links must be True or False"),
    ],
)
def test_what_is_wrong_is_said_when_the_dag_is_parsed(given, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        linked(people(1), **given)


@needs_store
def test_a_row_without_the_links_field_is_invalid_and_the_reason_names_it(vendor, tmp_path):
    server = vendor()
    invites = [*people(1), {"to": f"+{number(1)}", "name": "P1", "id": None}]
    assert counts(run_task(linked(invites, results_path=str(tmp_path)))) == {"accepted": 1, "invalid": 1}
    assert "link: needs the field 'id', which is empty in this row" in str(rows_in(tmp_path)[1].error)
    assert len(server.requests) == 1


@needs_store
def test_a_dry_run_counts_the_real_link_and_points_at_a_bad_one(vendor):
    server = vendor()
    run = run_task(linked(people(2), link=f"https://t.me/ж{'x' * 200}", dry_run=True))
    preview = run.xcom["return_value"]["preview"]
    assert preview["segments"]["by_encoding"]["UCS-2"]["invites"] == 2
    said = {each["what"] for each in preview["noticed"]}
    assert len([text for text in said if text.startswith("the link ")]) == 2
    assert preview["segments"]["assumed_link_length"] is None
    assert "counted with your own link" in run.xcom["markdown"]
    assert server.requests == []


@needs_store
@pytest.mark.parametrize("repeats", ["late", "at-once"])
def test_an_invite_in_doubt_is_repeated_under_its_id_and_reaches_the_person_once(vendor, kept, repeats, tmp_path):
    server = vendor("drop-after", "drop-before", "ok", 500, 429, repeats=repeats, idempotent_sending=True)
    run = run_task(linked(people(6), results_path=str(tmp_path), **kept))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 6}
    assert server.sms == {number(index): 1 for index in range(6)}
    assert len(set(ids(server))) == 6
    assert len(ids(server)) > 6
    assert {row.message_id for row in rows_in(tmp_path)} == set(ids(server))


@needs_store
def test_without_idempotent_sending_nothing_in_doubt_is_repeated_and_what_was_taken_is_found(vendor, kept, tmp_path):
    server = vendor("drop-after", "drop-before")
    run = run_task(linked(people(3), on_unknown="lookup", results_path=str(tmp_path), **kept))
    assert (run.state, counts(run)) == ("failed", {"accepted": 2, "unknown": 1})
    assert len(ids(server)) == len(set(ids(server))) == 3
    assert {row.to: row.outcome for row in rows_in(tmp_path)}[number(1)] == "unknown"
    held = run_task(linked(people(3), on_unknown="hold", **kept), store=run.store, try_number=2)
    assert counts(held) == {"accepted": 2, "unknown": 1}
    assert len(server.requests) == 3


@needs_store
def test_a_vendor_that_ignores_ids_is_noticed_after_one_person(vendor):
    server = vendor(*["drop-after"] * 4, repeats="ignored", idempotent_sending=True)
    run = run_task(linked(people(8), retries=3))
    assert run.state == "failed", "another try would not help"
    assert "idempotent sending is not enabled for this account. Set idempotent_sending to false" in str(run.error)
    assert sorted(server.sms.values())[-2:] == [1, 2]


@needs_store
def test_without_the_logs_only_one_is_repeated_and_the_others_are_told_why(vendor, capfd):
    server = vendor(*["drop-before"] * 3, logs_status=403, idempotent_sending=True)
    run = run_task(linked(people(4)))
    assert counts(run) == {"accepted": 2, "unknown": 2}
    assert len(server.requests) == 5
    assert "sms:logs:read" in "".join(capfd.readouterr())


@needs_store
def test_a_later_try_repeats_what_an_earlier_one_left_in_doubt_with_the_same_id(vendor, kept):
    server = vendor("drop-after", "drop-before", 500)
    first = run_task(linked(people(3), **kept))
    assert counts(first) == {"unknown": 3}
    vendor.connect(server, idempotent_sending=True)
    again = run_task(linked(people(3), **kept), store=first.store, try_number=2)
    assert again.succeeded, again.error
    assert counts(again) == {"accepted": 3}
    assert server.sms == {number(index): 1 for index in range(3)}
    assert len(set(ids(server))) == 3


@needs_store
@pytest.mark.parametrize(
    "changed",
    [{"message": "Another text for {name}: <link>"}, {"link": "https://t.me/other"}, {"sender": "OTHER"}],
    ids=["text", "link", "sender"],
)
def test_what_was_changed_since_is_no_repeat_and_is_not_sent(vendor, kept, changed):
    server = vendor("drop-after", "drop-before")
    first = run_task(linked(people(2), **kept))
    vendor.connect(server, idempotent_sending=True)
    again = run_task(linked(people(2), **changed, **kept), store=first.store, try_number=2)
    assert counts(again) == {"accepted": 1, "unknown": 1}, "the first is found by the id that it had"
    assert len(server.requests) == 2


@needs_store
def test_what_the_other_api_left_in_doubt_is_not_repeated(vendor, kept, sandbox, hook_for):
    hook_for(sandbox)
    sandbox.script("drop-after", "drop-before")
    first = run_task(batch(people(2), concurrency=1, **kept))
    assert counts(first) == {"unknown": 2}
    server = vendor(idempotent_sending=True)
    for try_number in (2, 3):
        again = run_task(linked(people(2), **kept), store=first.store, try_number=try_number)
        assert counts(again) == {"unknown": 2}
    assert server.requests == []


@needs_store
def test_after_the_grace_period_nothing_is_repeated(vendor, kept):
    server = vendor("drop-before")
    first = run_task(linked(people(1), **kept))
    vendor.connect(server, idempotent_sending=True, idempotency_grace=0.001)
    again = run_task(linked(people(1), **kept), store=first.store, try_number=2)
    assert counts(again) == {"unknown": 1}
    assert len(server.requests) == 1


@needs_store
def test_a_refusal_as_a_repeat_of_the_first_request_is_a_doubt_that_the_logs_settle(vendor):
    server = vendor(repeats="at-once", idempotent_sending=True)
    first = run_task(linked(people(1)))
    store = {key: value for key, value in first.store.items() if key == "omnichat:message-ids"}
    again = run_task(linked(people(1)), store=store)
    assert again.succeeded
    assert server.rows[0]["status"] is DUPLICATE
    assert server.sms == {number(0): 1}


@needs_store
@pytest.mark.parametrize("repeats", ["late", "at-once"])
def test_a_single_invite_is_repeated_too(vendor, kept, repeats):
    server = vendor("drop-after", repeats=repeats, idempotent_sending=True)
    run = run_task(single(**kept))
    assert run.succeeded, run.error
    assert run.xcom["messageId"] == ids(server)[0] == ids(server)[1]
    assert {"to", "messageCount", "messageId", "status"} <= run.xcom["return_value"].keys()
    assert "destination" not in run.xcom["return_value"]
    assert server.sms == {number(0): 1}


@needs_store
def test_a_single_invite_in_doubt_is_found_by_its_id_in_the_same_try(vendor, kept):
    server = vendor("drop-after")
    run = run_task(single(on_unknown="lookup", **kept))
    assert run.succeeded, run.error
    assert run.xcom["messageId"] == ids(server)[0]
    again = run_task(single(**kept), store=run.store, try_number=2)
    assert again.succeeded
    assert len(server.requests) == 1


@needs_store
def test_a_later_try_of_a_single_invite_repeats_it(vendor, kept):
    server = vendor("drop-before")
    first = run_task(single(**kept))
    assert first.state == "failed"
    vendor.connect(server, idempotent_sending=True)
    again = run_task(single(**kept), store=first.store, try_number=2)
    assert again.succeeded, again.error
    assert len(set(ids(server))) == 1
    assert server.sms == {number(0): 1}


@needs_store
def test_nothing_shows_the_link_or_the_key(vendor, tmp_path: Path, caplog):
    vendor("drop-after", idempotent_sending=True)
    run = run_task(linked(people(1), link="https://t.me/acme_bot?token=s3cr3t-token"))
    assert run.succeeded
    assert "s3cr3t-token" not in f"{run.rendered}{run.xcom}{caplog.text}"


@needs_store
def test_a_later_try_looks_at_the_last_repeat_before_it_makes_another(vendor, kept):
    server = vendor("drop-after", repeats="ignored", idempotent_sending=True)
    first = run_task(linked(people(1), **kept))
    assert first.state == "failed"
    server.plays.extend(["drop-after"] * 3)
    logs: Any = server.read

    def logs_once_all_came(query: Any) -> Any:
        wait_until(lambda: len(server.sms) == 4)
        return logs(query)

    server.read = logs_once_all_came
    # One connection for the logs, which wait, and one for the invites that they wait for.
    again = run_task(linked(people(4), concurrency=2, **kept), store=first.store, try_number=2)
    assert "Set idempotent_sending to false" in str(again.error)
    assert sorted(server.sms.values()) == [1, 1, 1, 2], "the second try stops before it repeats anything"


@needs_store
def test_a_sender_needs_a_link(vendor):
    server = vendor()
    run = run_task(linked(people(1), link=None, sender="ACME"))
    assert "sender: needs link" in str(run.error)
    assert server.requests == []


@needs_store
@pytest.mark.parametrize("make", [lambda **given: linked(people(1), **given), single], ids=["batch", "single"])
def test_a_link_that_renders_empty_does_not_fall_back_to_the_vendors_link(vendor, make):
    server = vendor(application_key="KEY", integration_type="FACEBOOK")
    run = run_task(make(link="{{ params.get('nothing', '') }}"))
    assert "link: was given and is empty now" in str(run.error)
    assert server.paths == []
