"""Who is not sent to, and when: the rules of the gate, budgets and approval, through the real operator."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from tests.operators.test_send_invite_batch import MESSAGE, XCom, batch, counts, number, people, rows_in
from tests.support.airflow_harness import AIRFLOW, HAS_STATE_STORE, START, run_task

needs_store = pytest.mark.skipif(not HAS_STATE_STORE, reason="Airflow has a task state store from 3.3 on")
needs_runner = pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 has no task runner of its own")


def zone_at(hour: int) -> str:
    """A fixed zone whose clock shows this hour, whatever time it is; half past, so that no test meets its edge."""
    now = datetime.now(UTC)
    ahead = timedelta(hours=hour, minutes=30) - timedelta(hours=now.hour, minutes=now.minute)
    minutes = int(ahead.total_seconds() // 60)
    minutes = (minutes + 720) % 1440 - 720
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


DAY, NIGHT = zone_at(12), zone_at(3)
HOURS: Any = ("09:00", "20:00")


@pytest.fixture
def memory(ledger: dict[str, Any]) -> dict[str, Any]:
    """What remembers over deferrals on this Airflow: the state store where there is one, else a database."""
    return {} if HAS_STATE_STORE else ledger


# opt-outs


def test_numbers_in_the_query_for_opt_outs_do_not_show(at_sandbox):
    query = {"conn_id": "crm", "sql": "SELECT phone FROM opt_outs WHERE phone <> '+41793026727'"}
    run = run_task(batch(people(3), suppression=query))
    assert "41793026727" not in str(run.rendered["suppression"])
    assert "opt_outs" in str(run.rendered["suppression"])


@pytest.mark.parametrize("kind", ["dicts", "csv", "query"])
def test_an_opt_out_of_another_country_is_read_with_the_country_of_its_row(at_sandbox, tmp_path, monkeypatch, kind):
    given: Any = [{"to": "06 12 34 56 78", "country": "FR"}]
    if kind == "csv":
        (tmp_path / "out.csv").write_text("to,country\n06 12 34 56 78,FR\n")
        given = str(tmp_path / "out.csv")
    if kind == "query":
        crm = {"conn_type": "sqlite", "host": str(tmp_path / "crm.sqlite")}
        monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(crm))
        given = {"conn_id": "crm", "sql": "SELECT '06 12 34 56 78' AS \"to\", 'FR' AS country"}
    invites = [{"to": "+33612345678", "name": "Zoe", "country": ""}, {"to": "+41612345678", "name": "Ida"}]
    run = run_task(batch(invites, suppression=given, region_column="country", default_region="CH"))
    assert run.succeeded, run.error
    assert [sms.to for sms in at_sandbox.accepted] == ["41612345678"]


@pytest.mark.parametrize("kind", ["list", "dicts", "csv", "jsonl"])
def test_whoever_opted_out_gets_nothing_and_the_row_says_so(at_sandbox, tmp_path, kind):
    numbers = [f"00{number(i)}" for i in range(3)]
    given: Any = numbers
    if kind == "dicts":
        given = [{"to": one, "why": "asked"} for one in numbers]
    if kind == "csv":
        (tmp_path / "out.csv").write_text("name,to\n" + "".join(f"x,{one}\n" for one in numbers))
        given = str(tmp_path / "out.csv")
    if kind == "jsonl":
        (tmp_path / "out.jsonl").write_text("".join(json.dumps({"phone": one}) + "\n" for one in numbers))
        given = str(tmp_path / "out.jsonl")
    run = run_task(batch(people(10), suppression=given, results_path=str(tmp_path / "results")))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 7, "suppressed": 3}
    assert {row.error for row in rows_in(tmp_path / "results") if row.outcome == "suppressed"} == {
        "is on the opt-out list"
    }
    assert not {sms.to for sms in at_sandbox.accepted} & {number(i) for i in range(3)}


def test_the_opt_out_list_can_be_a_query(at_sandbox, tmp_path, monkeypatch):
    with closing(sqlite3.connect(tmp_path / "crm.sqlite")) as crm:
        crm.execute("CREATE TABLE opt_outs (phone TEXT, since TEXT)")
        crm.executemany("INSERT INTO opt_outs VALUES (?, '2026-01-01')", [(f"+{number(i)}",) for i in range(4)])
        crm.commit()
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "crm.sqlite")}))
    query = {"conn_id": "crm", "sql": "SELECT phone FROM opt_outs WHERE since < ?", "parameters": ["2026-06-01"]}
    run = run_task(batch(people(10), suppression=query))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 6, "suppressed": 4}
    assert "opt_outs" in str(run.rendered["suppression"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["+4179302672"], "suppression: 1 entries cannot be read as phone numbers"),
        ([{"a": 1, "b": 2}], "suppression: row 1 has no column 'to'"),
        ({"sql": "SELECT 1"}, "suppression: a query must be given as {'conn_id'"),
        (5, "suppression: must be a list of numbers, the address of a file or a query, is a int"),
        ("/no/such/list.txt", "the name must end in .csv"),
    ],
)
def test_an_opt_out_list_that_cannot_be_read_stops_everything_before_the_first_send(at_sandbox, given, words):
    run = run_task(batch(people(3), suppression=given, retries=2), retries=2)
    assert run.state == "failed"
    assert "Nothing was sent" in str(run.error)
    assert words in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_a_file_of_opt_outs_that_is_not_there_is_an_error_that_airflow_retries(at_sandbox, tmp_path):
    run = run_task(batch(people(3), suppression=str(tmp_path / "gone.csv"), retries=2), retries=2)
    assert run.state == "up_for_retry"
    assert at_sandbox.requests_seen == 0


def test_opt_outs_do_not_show_in_rendered_templates(at_sandbox):
    run = run_task(batch(people(3), suppression=[f"+{number(0)}", f"+{number(9)}"]))
    assert run.rendered["suppression"] == "<list of 2 rows>"
    assert number(9) not in json.dumps(run.rendered, default=str)


# what a task or a template has not given

MUST_LAST = sorted({*SendInviteBatchOperator.template_fields} - {"invites", "resend_key"})


@needs_runner
@pytest.mark.parametrize("name", MUST_LAST)
def test_an_argument_whose_task_gave_nothing_stops_everything(at_sandbox, ledger, name):
    run = run_task(batch(people(3), **{**ledger, "retries": 2, name: XCom(None)}), upstream={"find": None}, retries=2)
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: was given and is None now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("name", MUST_LAST)
def test_an_argument_whose_template_gives_nothing_stops_everything(at_sandbox, ledger, name):
    run = run_task(batch(people(3), **{**ledger, name: " {{ params.get('no') or '' }}"}))
    assert run.state == "failed"
    assert f"Nothing was sent. {name}: was given and is empty now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_argument_that_is_written_down_as_nothing_is_not_given(at_sandbox, nothing):
    names = ["application_key", "integration_type", "default_region", "campaign", "ledger_conn_id", "results_path"]
    run = run_task(batch(people(3), **dict.fromkeys(names, nothing)))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 3}


def test_a_resend_key_may_render_to_nothing(at_sandbox):
    assert run_task(batch(people(3), resend_key="{{ params.get('no') or '' }}")).succeeded


def mapped(**given: Any) -> Any:
    """A partial batch, to be expanded."""
    return SendInviteBatchOperator.partial(task_id="invite", message=MESSAGE, retry_budget=1.0, **given)


@needs_runner
@pytest.mark.parametrize("name", ["suppression", "approved", "campaign", "results_path"])
@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("how", ["expand", "expand_kwargs", "output"])
def test_nothing_among_what_a_mapped_task_is_expanded_to_stops_that_one(at_sandbox, ledger, name, nothing, how):
    from airflow.sdk import DAG, BaseOperator

    with DAG("invites", schedule=None):
        if how == "expand":
            task = mapped(invites=people(3), **ledger).expand(**{name: [nothing]})
        elif how == "expand_kwargs":
            task = mapped(**ledger).expand_kwargs([{"invites": people(3), name: nothing}])
        else:
            task = mapped(invites=people(3), **ledger).expand(**{name: BaseOperator(task_id="find").output})
    run = run_task(task, map_index=0, upstream={"find": [nothing]}, retries=2)
    assert run.state == "failed"
    now = "None" if nothing is None else "empty"
    assert f"Nothing was sent. {name}: was given and is {now} now" in str(run.error)
    assert "leave it out of expand_kwargs" in str(run.error)
    assert at_sandbox.requests_seen == 0


def test_what_a_mapped_task_in_a_group_is_expanded_to_is_told_on_every_airflow(at_sandbox):
    from airflow.providers.common.compat.sdk import DAG, TaskGroup

    with DAG("invites", schedule=None, start_date=START), TaskGroup("spring"):
        task: Any = mapped(invites=people(3), campaign=None).expand(approved=[None])
    run = run_task(task.unmap({"approved": None}))
    assert run.state == "failed"
    assert "Nothing was sent. approved: was given and is None now" in str(run.error)
    assert at_sandbox.requests_seen == 0


@needs_runner
def test_what_a_mapped_task_is_not_expanded_to_may_be_none(at_sandbox):
    from airflow.sdk import DAG

    with DAG("invites", schedule=None):
        none = dict.fromkeys(["approved", "suppression", "campaign", "results_path", "default_region"])
        task = mapped(**none).expand_kwargs([{"invites": people(3), "resend_key": ""}])
    run = run_task(task, map_index=0)
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 3}


def test_a_word_that_is_no_fingerprint_is_no_approval(at_sandbox):
    run = run_task(batch(people(3), approved="x"))
    assert run.state == "failed"
    assert "this is not the list that was approved" in str(run.error)
    assert at_sandbox.requests_seen == 0


# the send window


def test_without_a_window_the_hour_does_not_matter(at_sandbox):
    assert run_task(batch(people(3, zone=NIGHT), time_zone_column="zone")).succeeded


def test_those_who_are_open_are_sent_to_and_then_the_task_sleeps_until_the_next_opening(at_sandbox, memory, tmp_path):
    list_of = [
        *people(5, zone=DAY),
        *[{**one, "to": f"+{number(100 + i)}"} for i, one in enumerate(people(3, zone=NIGHT))],
    ]
    given = {"send_window": HOURS, "time_zone_column": "zone", "results_path": str(tmp_path), **memory}
    store: dict[str, Any] = {}
    before = datetime.now(UTC)
    first = run_task(batch(list_of, **given), store=store)
    assert first.state == "deferred", first.error
    assert counts(first) == {"accepted": 5, "held": 3}
    assert at_sandbox.requests_seen == 5
    assert first.deferral is not None
    moment = first.deferral.moment
    assert before + timedelta(hours=5) < moment < before + timedelta(hours=6)  # from half past three to nine
    held = [row for row in rows_in(tmp_path) if row.outcome == "held"]
    assert len(held) == 3
    assert all("outside the send window until it opens" in str(row.error) and "09:00" in str(row.error) for row in held)

    # Morning has come for two of them, and for the third it is still night.
    morning = [*list_of[:5], *[{**one, "zone": DAY} for one in list_of[5:7]], list_of[7]]
    second = run_task(batch(morning, **given), store=store, resume=first.deferral)
    assert second.state == "deferred", second.error
    assert counts(second) == {"accepted": 7, "held": 1}
    assert second.xcom["return_value"]["sent_this_try"] == 7
    assert second.xcom["return_value"]["segments"] == 7
    assert second.xcom["return_value"]["started_at"] == first.xcom["return_value"]["started_at"]

    last = run_task(batch([{**one, "zone": DAY} for one in list_of], **given), store=store, resume=second.deferral)
    assert last.succeeded, last.error
    assert counts(last) == {"accepted": 8}
    assert last.xcom["return_value"]["sent_this_try"] == 8
    assert Counter(sms.to for sms in at_sandbox.accepted).most_common(1)[0][1] == 1
    assert [row.position for row in rows_in(tmp_path)] == list(range(1, 9))
    assert {str(row.outcome) for row in rows_in(tmp_path)} == {"accepted"}


@pytest.mark.parametrize(
    ("on_closed", "later", "left_out"), [("defer", 2, {}), ("skip", 0, {"held": 2})], ids=["defer", "skip"]
)
def test_a_preview_tells_whether_those_who_are_closed_wait_or_are_left_out(at_sandbox, on_closed, later, left_out):
    list_of = [*people(3, zone=DAY), *[{"to": f"+{number(50 + i)}", "name": "x", "zone": NIGHT} for i in range(2)]]
    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", "on_closed": on_closed}
    told = run_task(batch(list_of, dry_run=True, **given)).xcom["return_value"]
    assert told["counts"]["held"] == 2
    assert told["preview"]["later"] == later
    assert told["preview"]["invites"] == 3 + later
    assert told["preview"]["left_out"] == left_out
    assert at_sandbox.requests_seen == 0


class Watched:
    """A list that does not end before the ledger has how the first of it ended."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from people(70)  # a block, and some of the next
        until = time.monotonic() + 20
        while not self._ended():
            assert time.monotonic() < until, "never durable"
            time.sleep(0.05)
        yield {"to": f"+{number(100)}", "name": "x"}

    def _ended(self) -> int:
        with closing(sqlite3.connect(self._path)) as ledger:
            (count,) = ledger.execute("SELECT count(*) FROM omnichat_invites WHERE outcome = 'accepted'").fetchone()
        return int(count)


def test_what_has_ended_is_durable_while_the_list_goes_on(at_sandbox, ledger, tmp_path):
    run = run_task(batch(Watched(str(tmp_path / "ledger.sqlite")), **ledger))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 71}


@pytest.mark.parametrize("home", ["default", "database"])
def test_people_whose_windows_are_never_open_together_get_theirs_each_and_the_task_ends(
    at_sandbox, memory, ledger, tmp_path, home
):
    """Who was sent to waits for nothing, although it is night there now: not for a moment, and not for ever."""
    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", "results_path": str(tmp_path)}
    given |= memory if home == "default" else ledger
    east, west, south = people(3)
    store: dict[str, Any] = {}
    first = run_task(
        batch([{**east, "zone": DAY}, {**west, "zone": NIGHT}, {**south, "zone": NIGHT}], **given), store=store
    )
    assert (first.state, counts(first)) == ("deferred", {"accepted": 1, "held": 2})

    before = datetime.now(UTC)
    evening = [{**east, "zone": zone_at(8)}, {**west, "zone": DAY}, {**south, "zone": NIGHT}]
    second = run_task(batch(evening, **given), store=store, resume=first.deferral)
    assert (second.state, counts(second)) == ("deferred", {"accepted": 2, "held": 1})
    assert second.deferral is not None
    assert second.deferral.moment > before + timedelta(
        hours=5
    )  # nine in the south, not half an hour from now in the east

    night = [{**east, "zone": NIGHT}, {**west, "zone": NIGHT}, {**south, "zone": DAY}]
    last = run_task(batch(night, **given), store=store, resume=second.deferral)
    assert (last.state, counts(last)) == ("success", {"accepted": 3}), last.error
    assert Counter(sms.to for sms in at_sandbox.accepted) == {number(i): 1 for i in range(3)}
    assert {str(row.outcome) for row in rows_in(tmp_path)} == {"accepted"}


@pytest.mark.skipif(not HAS_STATE_STORE, reason="Airflow has a task state store from 3.3 on")
def test_a_doubt_is_not_hidden_by_a_window_that_is_closed_meanwhile(at_sandbox):
    at_sandbox.script("drop-after")
    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", "on_closed": "skip"}
    store: dict[str, Any] = {}
    assert run_task(batch(people(1, zone=DAY), **given), store=store).state == "failed"
    again = run_task(batch(people(1, zone=NIGHT), **given), store=store, try_number=2)
    assert (again.state, counts(again)) == ("failed", {"unknown": 1})
    assert at_sandbox.requests_seen == 1


def test_with_skip_those_who_are_closed_stay_held_and_the_task_is_green(at_sandbox):
    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", "on_closed": "skip"}
    run = run_task(batch([*people(2, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}], **given))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 2, "held": 1}


def test_a_doubt_does_not_keep_those_who_wait_from_their_invite(at_sandbox, memory):
    at_sandbox.script("drop-after")
    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", "concurrency": 1, **memory}
    list_of = [*people(2, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}]
    store: dict[str, Any] = {}
    first = run_task(batch(list_of, **given), store=store)
    assert (first.state, counts(first)) == ("deferred", {"accepted": 1, "unknown": 1, "held": 1})
    morning = [{**one, "zone": DAY} for one in list_of]
    last = run_task(batch(morning, **given), store=store, resume=first.deferral)
    assert (last.state, counts(last)) == ("failed", {"accepted": 2, "unknown": 1})
    assert "may have been sent, or not" in str(last.error)


def test_too_many_rejected_ends_the_task_before_it_sleeps(at_sandbox, memory):
    at_sandbox.set_faults(["rejected:1:52"])
    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", **memory}
    run = run_task(batch([*people(5, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}], **given))
    assert (run.state, counts(run)) == ("failed", {"rejected": 5, "held": 1})


@needs_store
def test_what_was_not_sent_is_retried_before_the_task_sleeps(at_sandbox):
    at_sandbox.script("ok", "401")
    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", "concurrency": 1, "retries": 1}
    list_of = [*people(5, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}]
    store: dict[str, Any] = {}
    first = run_task(batch(list_of, **given), store=store, retries=1)
    assert (first.state, counts(first)) == ("up_for_retry", {"accepted": 1, "not_sent": 4, "held": 1})
    second = run_task(batch(list_of, **given), store=store, retries=1, try_number=2)
    assert (second.state, counts(second)) == ("deferred", {"accepted": 5, "held": 1})


@pytest.mark.parametrize("on_empty", ["skip", "fail"])
def test_a_list_that_all_have_left_during_the_wait_is_not_an_empty_one(at_sandbox, memory, on_empty):
    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", "on_empty": on_empty, **memory}
    store: dict[str, Any] = {}
    list_of = [*people(2, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}]
    first = run_task(batch(list_of, **given), store=store)
    last = run_task(batch([], **given), store=store, resume=first.deferral)
    assert last.succeeded, last.error
    assert last.xcom["return_value"]["sent_this_try"] == 2


def test_what_is_refused_after_a_wait_does_not_say_that_nothing_was_sent(at_sandbox, memory):
    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", "max_invites": 3, **memory}
    store: dict[str, Any] = {}
    list_of = [*people(2, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}]
    first = run_task(batch(list_of, **given), store=store)
    last = run_task(
        batch([*list_of, {"to": f"+{number(51)}", "name": "y"}], **given), store=store, resume=first.deferral
    )
    assert last.state == "failed"
    assert "Nothing was sent this time. 4 people would be invited" in str(last.error)
    assert at_sandbox.requests_seen == 2


def test_who_was_inside_and_whose_window_closed_in_the_queue_is_looked_at_again_at_once(
    at_sandbox, memory, monkeypatch
):
    from airflow_provider_omnichat.campaign.sending import sender

    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", **memory}
    list_of = [*people(5, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}]
    store: dict[str, Any] = {}
    with monkeypatch.context() as clock:
        clock.setattr(sender, "time", lambda: (datetime.now(UTC) + timedelta(days=1)).timestamp())
        first = run_task(batch(list_of, **given), store=store)
    assert (first.state, counts(first)) == ("deferred", {"held": 6})
    assert at_sandbox.requests_seen == 0
    assert first.deferral is not None  # and not only when the sixth can be written to
    assert abs(first.deferral.moment - datetime.now(UTC)) < timedelta(minutes=1)
    last = run_task(batch(people(5, zone=DAY), **given), store=store, resume=first.deferral)
    assert last.succeeded, last.error
    assert counts(last) == {"accepted": 5}


@pytest.mark.parametrize("on_closed", ["defer", "skip"])
def test_a_doubt_whose_window_closed_before_it_was_sent_again_waits_for_it_and_stays_in_doubt(
    at_sandbox, memory, monkeypatch, on_closed
):
    from airflow_provider_omnichat.campaign.sending import sender

    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", "concurrency": 1, **memory}
    store: dict[str, Any] = {}
    list_of = people(2, zone=DAY)
    at_sandbox.script("drop-before")
    assert counts(run_task(batch(list_of, **given), store=store)) == {"accepted": 1, "unknown": 1}

    again = {**given, "on_unknown": "resend", "on_closed": on_closed}
    with monkeypatch.context() as clock:
        clock.setattr(sender, "time", lambda: (datetime.now(UTC) + timedelta(days=1)).timestamp())
        second = run_task(batch(list_of, **again), store=store, try_number=2)
    assert counts(second) == {"accepted": 1, "unknown": 1}
    assert at_sandbox.requests_seen == 2
    if on_closed == "skip":
        assert second.state == "failed"
        assert "It was to be sent again and was not: the send window closed before its turn came" in str(second.error)
    else:
        assert second.state == "deferred", second.error
        assert counts(run_task(batch(list_of, **given), store=store)) == {
            "accepted": 1,
            "unknown": 1,
        }  # "hold" holds it
        assert at_sandbox.requests_seen == 2
        last = run_task(batch(list_of, **again), store=store, try_number=2, resume=second.deferral)
        assert (last.state, counts(last)) == ("success", {"accepted": 2})
        assert last.xcom["return_value"]["sent_this_try"] == 1


def test_a_number_without_a_zone_takes_the_default_one(at_sandbox):
    satellite = [{"to": "+870773111632", "name": "x"}]
    for zone, outcome in ((DAY, "accepted"), (NIGHT, "held")):
        run = run_task(batch(satellite, send_window=HOURS, default_time_zone=zone, on_closed="skip"))
        assert run.succeeded, run.error
        assert counts(run) == {outcome: 1}


def test_after_a_deferral_the_window_is_asked_again(at_sandbox, memory):
    given: dict[str, Any] = {"send_window": HOURS, "time_zone_column": "zone", **memory}
    store: dict[str, Any] = {}
    first = run_task(batch(people(2, zone=NIGHT), **given), store=store)
    again = run_task(batch(people(2, zone=NIGHT), **given), store=store, resume=first.deferral)
    assert (again.state, counts(again)) == ("deferred", {"held": 2})
    assert at_sandbox.requests_seen == 0


@pytest.mark.skipif(HAS_STATE_STORE, reason="Airflow has a task state store from 3.3 on")
def test_without_anything_that_remembers_a_task_that_may_sleep_is_refused(at_sandbox):
    run = run_task(batch(people(2), send_window=HOURS))
    assert run.state == "failed"
    assert 'on_closed="skip"' in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"send_window": ("9", "20:00")}, "send_window"),
        ({"send_window": "09:00-20:00"}, "send_window"),
        ({"send_window": HOURS, "send_days": "weekdays"}, "send_days"),
        ({"send_days": "mon-fri"}, "send_days needs send_window"),
        ({"send_window": HOURS, "default_time_zone": "Mars/Olympus"}, "default_time_zone: is no known time zone"),
        ({"on_closed": "wait"}, "on_closed must be one of defer, skip"),
        ({"max_per_recipient": (2, "7d")}, "max_per_recipient needs ledger_conn_id"),
        ({"max_per_recipient": "2/7d", "ledger_conn_id": "x"}, "max_per_recipient: must be like"),
        ({"max_invites": "many"}, "max_invites must be a whole number"),
        ({"max_cost": 5}, "max_cost needs price_per_segment"),
    ],
)
def test_an_argument_that_is_none_is_an_error_when_the_dag_file_is_parsed(given, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        batch([], **given)


# frequency cap


def test_the_frequency_cap_counts_over_campaigns(at_sandbox, ledger, tmp_path):
    for campaign in ("one", "two"):
        run = run_task(batch(people(3), campaign=campaign, **ledger))
        assert run.succeeded, run.error
    given = {"campaign": "three", "max_per_recipient": (2, "7d"), "results_path": str(tmp_path / "r"), **ledger}
    for _ in range(2):
        run = run_task(batch(people(5), **given))
        assert run.succeeded, run.error
        assert counts(run) == {"accepted": 2, "suppressed": 3}
    assert {row.error for row in rows_in(tmp_path / "r") if row.outcome == "suppressed"} == {
        "has got 2 or more invites in the last 7 days (max_per_recipient)"
    }
    assert at_sandbox.requests_seen == 8


# budgets and approval


@pytest.mark.parametrize("kind", ["list", "file", "iterator"])
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"max_invites": 9}, "10 people would be invited, max_invites is 9"),
        ({"max_segments": 9}, "about 10 SMS would be sent, max_segments is 9"),
        ({"price_per_segment": 0.1, "max_cost": 0.5}, "it would cost about 1.00, max_cost is 0.50"),
    ],
)
def test_a_list_beyond_its_budget_is_refused_before_the_first_send(at_sandbox, tmp_path, kind, limit, words):
    invites: Any = people(10)
    if kind == "file":
        path = tmp_path / "list.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in invites))
        invites = str(path)
    task = batch(invites, **limit)
    if kind == "iterator":
        task.invites = iter(invites)
    run = run_task(task)
    assert run.state == "failed"
    assert "Nothing was sent" in str(run.error)
    assert words in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("kind", ["list", "file"])
def test_a_list_within_its_budget_is_sent(at_sandbox, tmp_path, kind):
    invites: Any = people(10)
    if kind == "file":
        path = tmp_path / "list.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in invites))
        invites = str(path)
    run = run_task(batch(invites, max_invites=10, max_segments=10, price_per_segment=0.1, max_cost=1))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 10}


def test_who_has_opted_out_does_not_count_for_the_budget(at_sandbox):
    run = run_task(batch(people(10), max_invites=9, suppression=[f"+{number(0)}"]))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 9, "suppressed": 1}


def test_the_approved_list_is_sent_and_no_other(at_sandbox):
    preview = run_task(batch(people(10), dry_run=True, price_per_segment=0.05))
    assert preview.succeeded, preview.error
    approved = preview.xcom["fingerprint"]
    assert preview.xcom["return_value"]["fingerprint"] == approved
    changed = run_task(batch(people(11), approved=approved))
    assert changed.state == "failed"
    assert "this is not the list that was approved" in str(changed.error)
    other_text = run_task(batch(people(10), message="Other {name} <link>", approved=approved))
    assert other_text.state == "failed"
    assert at_sandbox.requests_seen == 0
    same = run_task(batch(people(10)[::-1], approved=approved))
    assert same.succeeded, same.error
    assert at_sandbox.requests_seen == 10


# dry run


def test_a_preview_tells_people_who_when_how_much_and_who_not(at_sandbox, ledger):
    run_task(batch(people(1), campaign="welcome", **ledger))
    invites = [
        *people(4, zone=DAY),
        {"to": f"+{number(20)}", "name": "Nox", "zone": NIGHT},
        {"to": f"+{number(21)}", "name": "Out", "zone": DAY},
        {"to": "nobody"},
    ]
    run = run_task(
        batch(
            invites,
            dry_run=True,
            campaign="welcome",
            suppression=[f"+{number(21)}"],
            send_window=HOURS,
            time_zone_column="zone",
            price_per_segment=0.05,
            **ledger,
        )
    )
    assert run.succeeded, run.error
    assert counts(run) == {"not_sent": 3, "held": 1, "duplicate": 1, "suppressed": 1, "invalid": 1}
    told = run.xcom["return_value"]["preview"]
    assert (told["rows"], told["invites"], told["later"], told["cost"]) == (7, 4, 1, 0.2)
    text = run.xcom["markdown"]
    for words in (
        "**4** people of 7 rows would be invited",
        "about **4 SMS** to pay for, together about **0.20** at 0.05 each",
        "| at once | 3 |",
        "| from ",
        "is on the opt-out list",
        "already invited in this campaign",
        "Row 2, to 41792\\*\\*\\*\\*01",
    ):
        assert words in text, text
    assert number(1) not in text
    assert at_sandbox.requests_seen == 1


def test_a_text_that_is_too_long_with_any_link_is_invalid_and_one_that_may_fit_is_sent(at_sandbox):
    # The sandbox's link has 33 characters, of 40 that are assumed.
    texts = ["字" * 1340, "a" * 3826, "字" * 1320, "a" * 3790, "short "]
    invites = [{**one, "message": f"{text}<link>"} for one, text in zip(people(5), texts, strict=True)]
    preview = run_task(batch(invites, dry_run=True)).xcom
    assert preview["return_value"]["counts"]["invalid"] == 2
    told = preview["return_value"]["preview"]
    assert (told["invites"], told["segments"]["too_long"]) == (3, 1)
    (reason,) = told["reasons"]
    assert reason == {
        "outcome": "invalid",
        "code": "message_too_long",
        "reason": "message: is too long, the vendor takes at most 25 SMS and 4,000 bytes",
        "rows": 2,
    }
    sent = run_task(batch(invites, approved=preview["fingerprint"]))
    assert counts(sent) == {"accepted": 3, "invalid": 2}
    assert at_sandbox.requests_seen == 3


@pytest.mark.parametrize("on_closed", ["defer", "skip"])
def test_what_a_preview_tells_is_what_then_becomes_of_each_row(at_sandbox, ledger, on_closed):
    run_task(batch(people(4), campaign="spring", task_id="earlier", **ledger))
    run_task(batch(people(30)[10:16], campaign="other", **ledger))
    invites = [
        *({**one, "zone": NIGHT if i in {20, 27} else DAY} for i, one in enumerate(people(30))),
        *people(6, zone=NIGHT),
        *({"to": one, "name": "x", "zone": DAY} for one in ("nobody", "", "+41 44 668 18 00", "+870773111632")),
        {"to": f"+{number(90)}", "name": "x", "zone": "Mars"},
        {"to": f"+{number(91)}", "zone": DAY},
    ]
    given: dict[str, Any] = {
        "campaign": "spring",
        "max_per_recipient": (1, "7d"),
        "suppression": [f"+{number(i)}" for i in range(8, 12)],
        "send_window": HOURS,
        "time_zone_column": "zone",
        "on_closed": on_closed,
        **ledger,
    }
    preview = run_task(batch(invites, dry_run=True, task_id="preview", **given))
    before = at_sandbox.requests_seen
    sent = run_task(batch(invites, approved=preview.xcom["fingerprint"], task_id="send", **given))
    assert sent.state == ("deferred" if on_closed == "defer" else "success"), sent.error
    seen = counts(preview)
    assert at_sandbox.requests_seen - before == seen["not_sent"]
    assert counts(sent) == {**{outcome: n for outcome, n in seen.items() if outcome != "not_sent"}, "accepted": 18}
    assert seen["not_sent"] == 18


def test_a_preview_of_a_list_beyond_its_budget_is_there_and_red(at_sandbox):
    run = run_task(batch(people(10), dry_run=True, max_invites=9))
    assert run.state == "failed"
    assert "max_invites is 9" in str(run.error)
    assert "**10** people" in run.xcom["markdown"]


def test_a_preview_holds_the_budget_against_what_the_send_holds_it_against(at_sandbox, ledger):
    run_task(batch(people(5), campaign="welcome", **ledger))
    given: dict[str, Any] = {"campaign": "welcome", "max_invites": 9, **ledger}
    preview = run_task(batch(people(10), dry_run=True, **given))
    assert "**5** people" in preview.xcom["markdown"]
    sent = run_task(batch(people(10), **given))
    assert preview.state == sent.state == "failed"
    assert "10 people would be invited, max_invites is 9" in str(preview.error)
    assert str(preview.error) == str(sent.error)


@pytest.mark.parametrize("kind", ["list", "iterator"])
def test_budget_and_approval_are_of_the_whole_list_also_for_a_part_of_it(at_sandbox, ledger, kind):
    def part(of: int, **given: Any) -> Any:
        task = batch(people(40), task_id=f"part_{of}", partition=(of, 2), campaign="welcome", **given, **ledger)
        if kind == "iterator":
            task.invites = iter(people(40))
        return run_task(task)

    whole = run_task(batch(people(40), dry_run=True)).xcom["fingerprint"]
    preview = part(0, dry_run=True)
    assert preview.succeeded, preview.error
    assert preview.xcom["fingerprint"] == whole
    assert 0 < preview.xcom["return_value"]["rows"] < 40
    refused = part(0, max_invites=39)
    assert "40 people would be invited, max_invites is 39" in str(refused.error)
    assert at_sandbox.requests_seen == 0
    for of in range(2):
        run = part(of, approved=whole, max_invites=40)
        assert run.succeeded, run.error
    assert sorted(sms.to for sms in at_sandbox.accepted) == [number(i) for i in range(40)]


# partition


def test_the_parts_of_a_list_send_to_each_person_once_whatever_is_run_again(at_sandbox, ledger):
    invites = [*people(60), *people(5), {"to": "nobody"}]
    told: Counter[str] = Counter()
    for part in range(4):
        for _ in range(2):
            task = batch(invites, task_id=f"part_{part}", partition=(part, 4), campaign="welcome", **ledger)
            run = run_task(task)
            assert run.succeeded, run.error
        told.update(counts(run))
    assert told == {"accepted": 60, "duplicate": 5, "invalid": 1}
    assert sorted(sms.to for sms in at_sandbox.accepted) == [number(i) for i in range(60)]


@pytest.mark.parametrize("given", [(4, 4), "1/4", [1], {"part": 1}])
def test_a_partition_that_is_none_stops_everything(at_sandbox, given):
    run = run_task(batch(people(3), partition=given))
    assert run.state == "failed"
    assert "partition: must be (part, parts)" in str(run.error)
    assert at_sandbox.requests_seen == 0


# assets


def test_the_event_of_an_outlet_asset_carries_the_counts_and_nothing_personal(at_sandbox):
    from airflow.providers.common.compat.lineage.entities import File
    from airflow.providers.common.compat.sdk import Asset

    run = run_task(batch(people(5), outlets=[Asset("invites_sent"), File("/a/lineage")]))
    assert run.succeeded, run.error
    (event,) = run.outlet_events
    assert event["dest_asset_key"]["uri"] == "invites_sent"
    assert event["extra"]["counts"]["accepted"] == 5
    assert set(event["extra"]) == {"campaign", "rows", "counts", "segments", "sent_this_try"}
    assert number(0) not in json.dumps(event)


@needs_runner
@pytest.mark.parametrize("by", ["name", "uri"])
def test_the_event_of_an_asset_that_is_referred_to_carries_the_counts(at_sandbox, by):
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.comms import AssetResult

    def on_message(message: Any) -> Any:
        asks = type(message).__name__ in ("GetAssetByName", "GetAssetByUri")
        return AssetResult(name="sent", uri="x://sent/all", group="asset") if asks else None

    reference = Asset.ref(name="sent") if by == "name" else Asset.ref(uri="x://sent/all")
    run = run_task(batch(people(5), outlets=[reference]), on_message=on_message)
    assert run.succeeded, run.error
    (event,) = run.outlet_events
    assert event["dest_asset_key"] == {"name": "sent", "uri": "x://sent/all"}
    assert event["extra"]["counts"]["accepted"] == 5


def test_outlets_that_have_no_event_of_their_own_do_no_harm(at_sandbox):
    from airflow.providers.common.compat.sdk import Asset, AssetAlias, AssetAll, AssetAny

    kinds: list[Any] = [AssetAlias("sent"), AssetAll(Asset("a"), Asset("b")), AssetAny(Asset("c"))]
    run = run_task(batch(people(5), outlets=kinds))
    assert run.succeeded, run.error
    assert run.outlet_events == []


# when sending has stopped


def test_who_was_certainly_not_sent_to_by_another_task_is_no_duplicate_when_sending_has_stopped(at_sandbox, ledger):
    at_sandbox.script("401")
    given: dict[str, Any] = {"campaign": "welcome", "concurrency": 1, **ledger}
    first = run_task(batch(people(30), **given))
    assert counts(first) == {"not_sent": 30}
    at_sandbox.script("401")
    other = run_task(batch(people(30)[::-1], task_id="other", **given))
    assert counts(other) == {"not_sent": 30}
