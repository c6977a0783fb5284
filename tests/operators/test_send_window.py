"""Hours in which invites may be sent, by the clock of each recipient, and the sleep until they come."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
from airflow_provider_omnichat.campaign.preview.budget import Budget
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import HAS_STATE_STORE, needs_store
from tests.support.batch_tasks import batch, counts, number, people, rows_in
from tests.support.patience import wait_until
from tests.support.send_windows import DAY, HOURS, NIGHT, next_opening, window, zone_at


@pytest.fixture
def memory(ledger: dict[str, Any]) -> dict[str, Any]:
    """What remembers over deferrals on this Airflow: the state store where there is one, else a database."""
    return {} if HAS_STATE_STORE else ledger


def at_nine_in(zone: str, moment: datetime) -> bool:
    """Whether a moment is nine o'clock there, but for what passed between two looks at the clock."""
    return timedelta() <= moment - next_opening(zone) < timedelta(minutes=15)


def test_without_a_window_the_hour_does_not_matter(at_sandbox):
    assert run_task(batch(people(3, zone=NIGHT))).succeeded


def test_those_who_are_open_are_sent_to_and_then_the_task_sleeps_until_the_next_opening(at_sandbox, memory, tmp_path):
    list_of = [
        *people(5, zone=DAY),
        *[{**one, "to": f"+{number(100 + i)}"} for i, one in enumerate(people(3, zone=NIGHT))],
    ]
    given = {"send_window": window(), "results_path": str(tmp_path), **memory}
    store: dict[str, Any] = {}
    first = run_task(batch(list_of, **given), store=store)
    assert first.state == "deferred", first.error
    assert counts(first) == {"accepted": 5, "held": 3}
    assert at_sandbox.requests_seen == 5
    assert first.deferral is not None
    assert at_nine_in(NIGHT, first.deferral.moment)
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
    given: dict[str, Any] = {"send_window": window(on_closed=on_closed)}
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
        wait_until(self._ended, "durable")
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
    given: dict[str, Any] = {"send_window": window(), "results_path": str(tmp_path)}
    given |= memory if home == "default" else ledger
    east, west, south = people(3)
    store: dict[str, Any] = {}
    first = run_task(
        batch([{**east, "zone": DAY}, {**west, "zone": NIGHT}, {**south, "zone": NIGHT}], **given), store=store
    )
    assert (first.state, counts(first)) == ("deferred", {"accepted": 1, "held": 2})

    evening = [{**east, "zone": zone_at(8)}, {**west, "zone": DAY}, {**south, "zone": NIGHT}]
    second = run_task(batch(evening, **given), store=store, resume=first.deferral)
    assert (second.state, counts(second)) == ("deferred", {"accepted": 2, "held": 1})
    assert second.deferral is not None
    assert at_nine_in(NIGHT, second.deferral.moment)  # in the south, not half an hour from now in the east

    night = [{**east, "zone": NIGHT}, {**west, "zone": NIGHT}, {**south, "zone": DAY}]
    last = run_task(batch(night, **given), store=store, resume=second.deferral)
    assert (last.state, counts(last)) == ("success", {"accepted": 3}), last.error
    assert Counter(sms.to for sms in at_sandbox.accepted) == {number(i): 1 for i in range(3)}
    assert {str(row.outcome) for row in rows_in(tmp_path)} == {"accepted"}


@needs_store
def test_a_doubt_is_not_hidden_by_a_window_that_is_closed_meanwhile(at_sandbox):
    at_sandbox.script("drop-after")
    given: dict[str, Any] = {"send_window": window(on_closed="skip")}
    store: dict[str, Any] = {}
    assert run_task(batch(people(1, zone=DAY), **given), store=store).state == "failed"
    again = run_task(batch(people(1, zone=NIGHT), **given), store=store, try_number=2)
    assert (again.state, counts(again)) == ("failed", {"unknown": 1})
    assert at_sandbox.requests_seen == 1


def test_with_skip_those_who_are_closed_stay_held_and_the_task_is_green(at_sandbox):
    given: dict[str, Any] = {"send_window": window(on_closed="skip")}
    run = run_task(batch([*people(2, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}], **given))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 2, "held": 1}


def test_a_doubt_does_not_keep_those_who_wait_from_their_invite(at_sandbox, memory):
    at_sandbox.script("drop-after")
    given: dict[str, Any] = {"send_window": window(), "concurrency": 1, **memory}
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
    given: dict[str, Any] = {"send_window": window(), **memory}
    run = run_task(batch([*people(5, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}], **given))
    assert (run.state, counts(run)) == ("failed", {"rejected": 5, "held": 1})


@needs_store
def test_what_was_not_sent_is_retried_before_the_task_sleeps(at_sandbox):
    at_sandbox.script("ok", "401")
    given: dict[str, Any] = {"send_window": window(), "concurrency": 1, "retries": 1}
    list_of = [*people(5, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}]
    store: dict[str, Any] = {}
    first = run_task(batch(list_of, **given), store=store, retries=1)
    assert (first.state, counts(first)) == ("up_for_retry", {"accepted": 1, "not_sent": 4, "held": 1})
    second = run_task(batch(list_of, **given), store=store, retries=1, try_number=2)
    assert (second.state, counts(second)) == ("deferred", {"accepted": 5, "held": 1})


@pytest.mark.parametrize("on_empty", ["skip", "fail"])
def test_a_list_that_all_have_left_during_the_wait_is_not_an_empty_one(at_sandbox, memory, on_empty):
    given: dict[str, Any] = {"send_window": window(), "on_empty": on_empty, **memory}
    store: dict[str, Any] = {}
    list_of = [*people(2, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}]
    first = run_task(batch(list_of, **given), store=store)
    last = run_task(batch([], **given), store=store, resume=first.deferral)
    assert last.succeeded, last.error
    assert last.xcom["return_value"]["sent_this_try"] == 2


def test_what_is_refused_after_a_wait_does_not_say_that_nothing_was_sent(at_sandbox, memory):
    given: dict[str, Any] = {"send_window": window(), "budget": Budget(max_invites=3), **memory}
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

    given: dict[str, Any] = {"send_window": window(), **memory}
    list_of = [*people(5, zone=DAY), {"to": f"+{number(50)}", "name": "x", "zone": NIGHT}]
    store: dict[str, Any] = {}
    before = datetime.now(UTC)
    with monkeypatch.context() as clock:
        clock.setattr(sender, "time", lambda: (datetime.now(UTC) + timedelta(days=1)).timestamp())
        first = run_task(batch(list_of, **given), store=store)
    assert (first.state, counts(first)) == ("deferred", {"held": 6})
    assert at_sandbox.requests_seen == 0
    assert first.deferral is not None  # and not only when the sixth can be written to
    assert before <= first.deferral.moment < datetime.now(UTC) + timedelta(minutes=1)
    last = run_task(batch(people(5, zone=DAY), **given), store=store, resume=first.deferral)
    assert last.succeeded, last.error
    assert counts(last) == {"accepted": 5}


@pytest.mark.parametrize("on_closed", ["defer", "skip"])
def test_a_doubt_whose_window_closed_before_it_was_sent_again_waits_for_it_and_stays_in_doubt(
    at_sandbox, memory, monkeypatch, on_closed
):
    from airflow_provider_omnichat.campaign.sending import sender

    given: dict[str, Any] = {"send_window": window(), "concurrency": 1, **memory}
    store: dict[str, Any] = {}
    list_of = people(2, zone=DAY)
    at_sandbox.script("drop-before")
    assert counts(run_task(batch(list_of, **given), store=store)) == {"accepted": 1, "unknown": 1}

    again = {**given, "on_unknown": "resend", "send_window": window(on_closed=on_closed)}
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
        run = run_task(batch(satellite, send_window=SendWindow(*HOURS, default_zone=zone, on_closed="skip")))
        assert run.succeeded, run.error
        assert counts(run) == {outcome: 1}


def test_after_a_deferral_the_window_is_asked_again(at_sandbox, memory):
    given: dict[str, Any] = {"send_window": window(), **memory}
    store: dict[str, Any] = {}
    first = run_task(batch(people(2, zone=NIGHT), **given), store=store)
    again = run_task(batch(people(2, zone=NIGHT), **given), store=store, resume=first.deferral)
    assert (again.state, counts(again)) == ("deferred", {"held": 2})
    assert at_sandbox.requests_seen == 0


@pytest.mark.skipif(HAS_STATE_STORE, reason="Airflow 3.3 has a task state store")
def test_without_anything_that_remembers_a_task_that_may_sleep_is_refused(at_sandbox):
    run = run_task(batch(people(2), send_window=HOURS))
    assert run.state == "failed"
    assert 'on_closed="skip"' in str(run.error)
    assert at_sandbox.requests_seen == 0
