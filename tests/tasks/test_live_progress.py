"""How far a task is, in an XCom: pushed by the operators at the start, during, and at the end."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.engine import progress
from airflow_provider_omnichat.campaign.preview.budget import Budget
from airflow_provider_omnichat.tasks import live_progress
from airflow_provider_omnichat.tasks.live_progress import PROGRESS_KEY, has_tabs, progress_of
from tests.support.airflow_harness import TaskRun, run_task
from tests.support.airflow_versions import HAS_STATE_STORE, needs_store, needs_tabs
from tests.support.batch_tasks import batch, number, people
from tests.support.patience import wait_until
from tests.support.send_windows import DAY, NIGHT, window
from tests.support.single_tasks import invite


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SAMPLE_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(progress, "_PUBLISH_EVERY_SECONDS", 0.1)


def pushed(run: TaskRun) -> list[dict[str, Any]]:
    return [
        message.value for message in run.sent if type(message).__name__ == "SetXCom" and message.key == PROGRESS_KEY
    ]


def refuse_progress(times: int) -> Any:
    """Play a server that cannot take the XCom so many times."""
    left = [times]

    def on_message(message: Any) -> None:
        if type(message).__name__ == "SetXCom" and message.key == PROGRESS_KEY and left[0]:
            left[0] -= 1
            raise ConnectionError("the server is away: pass-word-1")

    return on_message


@needs_tabs
class TestBatch:
    def test_it_is_pushed_at_the_start_meanwhile_and_at_the_end(
        self, at_sandbox: Any, often: None, ledger: dict[str, Any]
    ) -> None:
        needed = {} if HAS_STATE_STORE else ledger  # for retries
        place = None if HAS_STATE_STORE else "table omnichat_invites of connection ledger"
        found = pushed(run_task(batch(people(60), rate_limit=60, retries=3, **needed), try_number=3, retries=3))
        assert len(found) >= 4
        head = {"try_number": 3, "results": place, "is_over": False}
        assert {key: found[0][key] for key in found[0] if key != "campaign"} == head
        assert [each["is_over"] for each in found] == [*[False] * (len(found) - 1), True]
        assert {(each["campaign"], each["try_number"]) for each in found} == {(found[0]["campaign"], 3)}
        assert 0 <= found[1]["rows"] < 60
        assert (found[-1]["rows"], found[-1]["counts"]["accepted"]) == (60, 60)
        assert not [at for at in range(60) if number(at) in json.dumps(found)]

    def test_it_says_where_the_rows_are(self, at_sandbox: Any, tmp_path: Any) -> None:
        run = run_task(batch(people(1), results_path=str(tmp_path)))
        assert {each["results"] for each in pushed(run)} == {run.xcom["return_value"]["results"]}

    def test_it_is_not_pushed_where_nothing_is(self, at_sandbox: Any) -> None:
        run = run_task(batch(people(2), do_xcom_push=False))
        assert run.succeeded
        assert PROGRESS_KEY not in run.xcom

    def test_a_refusal_of_the_list_is_the_last_word(self, at_sandbox: Any) -> None:
        found = pushed(run_task(batch(people(2), budget=Budget(max_invites=1))))
        assert [each["is_over"] for each in found] == [False, True]
        assert "max_invites is 1" in found[-1]["stop_reason"]

    def test_a_preview_is_none(self, at_sandbox: Any) -> None:
        run = run_task(batch(people(2), dry_run=True))
        assert run.succeeded
        assert PROGRESS_KEY not in run.xcom

    def test_a_push_that_fails_is_warned_of_once_and_nothing_else_fails(
        self, at_sandbox: Any, often: None, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = run_task(batch(people(60), rate_limit=60), on_message=refuse_progress(1000))
        assert run.succeeded, run.error
        assert len(at_sandbox.accepted) == 60
        output = capsys.readouterr()
        text = caplog.text + output.out + output.err
        assert text.count("The tab Invites does not show how far this task is (ConnectionError)") == 1
        assert "the server is away" not in text

    def test_the_last_push_arrives_when_the_first_ones_did_not(self, at_sandbox: Any, often: None) -> None:
        run = run_task(batch(people(10)), on_message=refuse_progress(1))
        assert run.xcom[PROGRESS_KEY]["counts"]["accepted"] == 10

    def test_a_server_that_takes_long_does_not_hold_the_invites(
        self, at_sandbox: Any, often: None, ledger: dict[str, Any]
    ) -> None:
        # With a database: the task state store goes through the same channel, and waits for its turn there.
        sent_meanwhile: list[int] = []

        def on_message(message: Any) -> None:
            if (
                type(message).__name__ == "SetXCom"
                and message.key == PROGRESS_KEY
                and message.value.get("rows", 60) < 60
            ):
                with suppress(AssertionError):
                    wait_until(lambda: len(at_sandbox.accepted) == 60)
                sent_meanwhile.append(len(at_sandbox.accepted))

        run = run_task(batch(people(60), rate_limit=60, **ledger), on_message=on_message)
        assert run.succeeded
        assert set(sent_meanwhile) == {60}

    @needs_store
    def test_after_a_wait_for_the_window_it_counts_on_and_is_never_empty(self, at_sandbox: Any) -> None:
        waiting = [{"to": f"+{number(50 + at)}", "name": "x", "zone": NIGHT} for at in range(3)]
        given: dict[str, Any] = {"send_window": window()}
        store: dict[str, Any] = {}
        first = run_task(batch([*people(5, zone=DAY), *waiting], **given), store=store)
        assert first.state == "deferred"
        before = pushed(first)[-1]
        assert (before["counts"]["accepted"], before["counts"]["held"], before["sent_this_try"]) == (5, 3, 5)
        morning = [*people(5, zone=DAY), *({**row, "zone": DAY} for row in waiting)]
        run = run_task(batch(morning, **given), store=store, resume=first.deferral)
        last = pushed(run)
        assert [sorted(each) for each in last if "counts" not in each] == []
        assert (last[-1]["counts"]["accepted"], last[-1]["sent_this_try"]) == (8, 8)
        assert last[-1]["started_at"] == before["started_at"]


@needs_tabs
class TestSingle:
    def test_an_accepted_one(self, at_sandbox: Any) -> None:
        (found,) = pushed(run_task(invite()))
        assert (found["rows"], found["counts"]["accepted"], found["sent_this_try"]) == (1, 1, 1)
        assert "41793026727" not in json.dumps(found)

    @pytest.mark.parametrize(
        ("to", "play", "outcome"),
        [("nobody", "ok", "invalid"), ("+41793026727", "drop-after", "unknown"), ("+41793026727", "401", "not_sent")],
    )
    def test_one_that_was_not(self, at_sandbox: Any, to: str, play: str, outcome: str) -> None:
        at_sandbox.script(play)
        run = run_task(invite(to=to))
        assert not run.succeeded
        (found,) = pushed(run)
        assert {name: count for name, count in found["counts"].items() if count} == {outcome: 1}
        assert found["reasons"]

    def test_a_push_that_fails_does_not_fail_it(self, at_sandbox: Any) -> None:
        run = run_task(invite(), on_message=refuse_progress(1))
        assert run.succeeded, run.error
        assert len(at_sandbox.accepted) == 1


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.11.0", False), ("3.0.6", False), ("3.1.0", True), ("3.1.0rc1", True), ("3.10.1", True), ("4.0.0.dev0", True)],
)
def test_there_are_tabs_from_airflow_3_1_on(monkeypatch: pytest.MonkeyPatch, version: str, expected: bool) -> None:
    monkeypatch.setattr("airflow.__version__", version)
    assert has_tabs() is expected


@pytest.mark.parametrize("tabs", [True, False])
def test_nothing_is_pushed_where_there_is_no_tab(monkeypatch: pytest.MonkeyPatch, tabs: bool) -> None:
    monkeypatch.setattr(live_progress, "has_tabs", lambda: tabs)
    ti = SimpleNamespace(try_number=1, xcom_push=lambda key, value: None)
    given = progress_of({"ti": ti}, logging.getLogger(__name__), "welcome")  # type: ignore[typeddict-item]
    assert (given is not None) is tabs


@pytest.mark.parametrize("make", [lambda **given: batch(people(2), **given), invite])
def test_a_task_that_pushes_no_xcoms_pushes_no_progress(at_sandbox: Any, make: Any) -> None:
    run = run_task(make(do_xcom_push=False))
    assert run.succeeded, run.error
    assert pushed(run) == []
