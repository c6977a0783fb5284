"""At most one SMS over all tries of a task, whatever happens between them (Airflow 3.3+, which has the state store)."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.operators.omnichat import SendInviteOperator
from airflow_provider_omnichat.tasks.earlier_tries import BEGUN_KEY
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_store
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.wire_server import ACCEPTED, answer

pytestmark = needs_store


def invite(**given: Any) -> SendInviteOperator:
    return SendInviteOperator(
        **{"task_id": "invite", "to": f"+{NUMBER}", "message": MESSAGE, "retry_budget": 0, **given}
    )


def set_messages(sent: list[Any]) -> list[Any]:
    return [message for message in sent if type(message).__name__ == "SetTaskStateStore"]


def test_the_claim_is_in_the_store_at_the_moment_of_the_request(wire, hook_for):
    store: dict[str, Any] = {}
    seen_in_store: list[dict[str, Any]] = []

    def look(sock):
        seen_in_store.append(json.loads(json.dumps(store)))
        sock.sendall(answer())

    hook_for(wire(look))
    assert run_task(invite(), store=store).succeeded
    ((begun, claim),) = [list(snapshot.values()) for snapshot in seen_in_store]
    assert begun["campaign"] == "invites/run-1/invite"
    assert claim["outcome"] == "claimed"
    assert store.keys() == seen_in_store[0].keys()
    assert [entry["outcome"] for key, entry in store.items() if key != BEGUN_KEY] == ["accepted"]


def test_claims_are_kept_as_long_as_the_dag_run(at_sandbox):
    run = run_task(invite())
    written = set_messages(run.sent)
    assert written
    assert all(message.expires_at is None for message in written)


def test_a_later_try_gives_back_the_answer_and_sends_nothing(at_sandbox):
    store: dict[str, Any] = {}
    first = run_task(invite(), store=store)
    for try_number in (2, 3, 4):
        again = run_task(invite(), store=store, try_number=try_number)
        assert again.succeeded
        assert {**again.xcom, "invite_progress": None} == {**first.xcom, "invite_progress": None}
        assert again.xcom["return_value"]["to"] == NUMBER
    assert at_sandbox.requests_seen == 1


def test_the_same_number_written_another_way_is_the_same_invite(at_sandbox):
    store: dict[str, Any] = {}
    for to, region in [("+41 79 302 67 27", None), ("0041793026727", None), ("079 302 67 27", "CH")]:
        assert run_task(invite(to=to, default_region=region), store=store).succeeded
    assert at_sandbox.requests_seen == 1


def test_another_number_in_the_same_task_is_another_invite(at_sandbox):
    store: dict[str, Any] = {}
    run_task(invite(), store=store)
    run_task(invite(to="+41793026728"), store=store)
    assert len(at_sandbox.accepted) == 2


def test_a_rejected_invite_stays_rejected(at_sandbox):
    at_sandbox.script("rejected:52")
    store: dict[str, Any] = {}
    run_task(invite(), store=store)
    again = run_task(invite(), store=store, try_number=2)
    assert again.state == "failed"
    assert "Rejected by an earlier try" in str(again.error)
    assert "nothing was sent now" in str(again.error)
    assert again.xcom["status"]["id"] == 52
    assert at_sandbox.requests_seen == 1


@pytest.mark.parametrize("fault", ["drop-after", "500-after", "truncated", "garbage-200", "unknown-status"])
def test_an_unknown_invite_is_held_and_says_how_to_resend(at_sandbox, fault):
    at_sandbox.script(fault)
    store: dict[str, Any] = {}
    run_task(invite(), store=store)
    again = run_task(invite(), store=store, try_number=2)
    assert again.state == "failed"
    assert "nothing was sent now" in str(again.error)
    assert 'on_unknown="resend"' in str(again.error)
    assert at_sandbox.requests_seen == 1


def test_on_unknown_resend_sends_what_is_in_doubt_but_not_what_was_accepted(at_sandbox):
    at_sandbox.script("drop-before")
    store: dict[str, Any] = {}
    run_task(invite(), store=store)
    for _ in range(3):
        assert run_task(invite(on_unknown="resend"), store=store).succeeded
    assert at_sandbox.requests_seen == 2
    assert len(at_sandbox.accepted) == 1


@pytest.mark.parametrize("fault", ["429", "401", "503-retry-after:9"])
def test_a_doubt_that_was_refused_when_it_was_sent_again_is_still_in_doubt(at_sandbox, fault):
    at_sandbox.script("drop-before", fault)
    store: dict[str, Any] = {}
    run_task(invite(), store=store)
    again = run_task(invite(on_unknown="resend", retries=3), store=store, retries=3, try_number=2)
    assert again.state == "up_for_retry"  # it was told to send it
    assert str(again.error).endswith("An earlier try may have sent it, so it stays in doubt.")
    held = run_task(invite(), store=store, try_number=3)
    assert held.state == "failed"
    assert "Already in doubt since an earlier try" in str(held.error)
    assert "It was to be sent again and was not: The invite was not sent: HTTP" in str(held.error)
    assert at_sandbox.requests_seen == 2
    assert run_task(invite(on_unknown="resend"), store=store, try_number=4).succeeded
    assert len(at_sandbox.accepted) == 1


def test_on_unknown_resend_does_not_send_what_was_rejected(at_sandbox):
    at_sandbox.script("rejected:14")
    store: dict[str, Any] = {}
    run_task(invite(), store=store)
    assert run_task(invite(on_unknown="resend"), store=store).state == "failed"
    assert at_sandbox.requests_seen == 1


def test_a_resend_key_sends_once_more_and_only_once(at_sandbox):
    store: dict[str, Any] = {}
    for cleared, key in enumerate(("", "again", "again", "", "again")):
        assert run_task(invite(resend_key=key), store=store, retries=cleared).succeeded
    assert len(at_sandbox.accepted) == 2


@pytest.mark.parametrize("fault", ["429", "401", "403", "404", "503-retry-after:9"])
def test_what_was_not_sent_is_sent_by_a_later_try(at_sandbox, fault):
    at_sandbox.script(fault)
    store: dict[str, Any] = {}
    assert run_task(invite(retries=1), retries=1, store=store).state == "up_for_retry"
    assert run_task(invite(retries=1), retries=1, store=store, try_number=2).succeeded
    assert len(at_sandbox.accepted) == 1


def test_a_worker_that_dies_after_the_request_sends_nothing_on_the_next_try(wire, hook_for):
    class Killed(BaseException):
        pass

    def die(message: Any) -> None:
        if type(message).__name__ == "SetTaskStateStore" and message.value.get("outcome") == "accepted":
            raise Killed

    server = wire()
    hook_for(server)
    store: dict[str, Any] = {}
    try:
        first = run_task(invite(), store=store, on_message=die)
        assert isinstance(first.error, Killed)
    except Killed:
        pass
    assert len(server.seen) == 1
    again = run_task(invite(), store=store, try_number=2)
    assert again.state == "failed"
    assert "ended before it could say how" in str(again.error)
    assert 'on_unknown="resend"' in str(again.error)
    assert len(server.seen) == 1


# a store that cannot be trusted


def breaking(name: str, how: str, nth: int = 1):
    """Make the *nth* message of this kind go wrong."""
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, TaskStateStoreResult

    count = 0

    def on_message(message: Any) -> Any:
        nonlocal count
        if type(message).__name__ != name or message.key == BEGUN_KEY:
            return None
        count += 1
        if count != nth:
            return None
        if how == "error":
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"to": NUMBER}))
        if how == "connection":
            raise ConnectionError("the supervisor is gone")
        if how == "not found":
            return ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND)
        if how == "lost":
            from airflow.sdk.execution_time.comms import OKResponse

            return OKResponse(ok=True)
        return TaskStateStoreResult(value=json.loads(how))

    return on_message


BROKEN_STORES = {
    "get fails": ("GetTaskStateStore", "error", 1),
    "get breaks": ("GetTaskStateStore", "connection", 1),
    "set fails": ("SetTaskStateStore", "error", 1),
    "set breaks": ("SetTaskStateStore", "connection", 1),
    "set is lost": ("SetTaskStateStore", "lost", 1),
    "the claim is not found again": ("GetTaskStateStore", "not found", 2),
    "the claim cannot be read again": ("GetTaskStateStore", "error", 2),
    "junk: a text": ("GetTaskStateStore", '"junk"', 1),
    "junk: a number": ("GetTaskStateStore", "7", 1),
    "junk: a list": ("GetTaskStateStore", "[]", 1),
    "junk: an object": ("GetTaskStateStore", "{}", 1),
    "junk: an outcome": ("GetTaskStateStore", '{"outcome": "sent", "at": "2026-01-01T00:00:00"}', 1),
    "junk: a time": ("GetTaskStateStore", '{"outcome": "not_sent", "at": "yesterday"}', 1),
    "junk: an answer": ("GetTaskStateStore", '{"outcome": "accepted", "at": "2026-01-01T00:00:00", "answer": 1}', 1),
    "a claim of somebody else": ("GetTaskStateStore", '{"outcome": "claimed", "at": "2026-01-01T00:00:00"}', 2),
}


@pytest.mark.parametrize(("name", "how", "nth"), BROKEN_STORES.values(), ids=BROKEN_STORES)
def test_nothing_is_sent_when_the_store_cannot_be_trusted(at_sandbox, name, how, nth):
    run = run_task(invite(retries=1), retries=1, on_message=breaking(name, how, nth))
    assert run.state == "up_for_retry"
    assert isinstance(run.error, LedgerError)
    assert NUMBER not in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_an_accepted_entry_without_an_answer_is_in_doubt_and_not_sent(at_sandbox):
    how = '{"outcome": "accepted", "at": "2026-01-01T00:00:00"}'
    assert run_task(invite(), on_message=breaking("GetTaskStateStore", how)).state == "failed"
    assert at_sandbox.requests_seen == 0


def test_an_answer_that_cannot_be_written_down_is_red_names_the_message_and_holds_the_next_try(at_sandbox):
    store: dict[str, Any] = {}
    first = run_task(invite(), store=store, on_message=breaking("SetTaskStateStore", "error", 2))
    assert first.state == "failed"
    assert at_sandbox.accepted[0].message_id in str(first.error)
    assert run_task(invite(), store=store, try_number=2).state == "failed"
    assert at_sandbox.requests_seen == 1


def test_an_answer_that_cannot_be_written_down_because_of_what_the_vendor_wrote_is_red(wire, hook_for):
    server = wire(answer(200, json.dumps(ACCEPTED).replace('"messageCount": 1', '"messageCount": 1e999')))
    hook_for(server)
    store: dict[str, Any] = {}
    run_task(invite(), store=store)
    run_task(invite(), store=store, try_number=2)
    assert len(server.seen) == 1


def test_an_xcom_that_cannot_be_pushed_is_red_and_the_next_try_gives_the_answer(at_sandbox):
    def refuse(message: Any) -> None:
        if type(message).__name__ == "SetXCom":
            raise RuntimeError("no XCom today")

    store: dict[str, Any] = {}
    assert run_task(invite(), store=store, on_message=refuse).state == "failed"
    again = run_task(invite(), store=store, try_number=2)
    assert again.succeeded
    assert again.xcom["messageId"] == at_sandbox.accepted[0].message_id
    assert at_sandbox.requests_seen == 1


def test_interrupted_anywhere_a_second_try_never_makes_a_second_sms(at_sandbox):
    """Raise at each message to the supervisor in turn, then try again."""

    class Interrupted(BaseException):
        pass

    for nth in range(1, 40):
        at_sandbox.clear()
        count = 0

        def interrupt(message: Any, nth: int = nth) -> None:
            nonlocal count
            count += 1
            if count == nth:
                raise Interrupted

        store: dict[str, Any] = {}
        with suppress(Interrupted):
            run_task(invite(), store=store, on_message=interrupt)
        reached = count
        second = run_task(invite(), store=store, try_number=2)
        assert len(at_sandbox.accepted) <= 1, f"interrupted at message {nth}"
        assert second.state in {"success", "failed"}
        if second.succeeded:
            assert len(at_sandbox.accepted) == 1
        if reached < nth:
            break
    else:
        pytest.fail("the task sends more messages than were interrupted")
