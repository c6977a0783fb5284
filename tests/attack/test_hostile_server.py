"""A server that answers anything, at any time: nobody gets two SMS, no answer decides about another, nothing is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from tests.support.airflow_harness import TaskRun, run_task
from tests.support.attacks import SEED, TRIED, chance, many
from tests.support.batch_tasks import batch, rows_in
from tests.support.both_clients import CLIENTS, all_that_shows, send_each
from tests.support.example_invite import MESSAGE
from tests.support.hostile_server import HostileServer, id_of
from tests.support.single_tasks import invite as single
from tests.support.what_shows import shown_by

pytestmark = pytest.mark.attack

PARTS = 6
PASSWORD = "pass-word-1"
ECHO = f"{MESSAGE} {PASSWORD}"
PEOPLE = [f"4179{chance('people').randrange(10**6, 10**7) + i}" for i in range(8)]
HIDDEN = (*PEOPLE, "more about Foo", PASSWORD)


def check_each(server: HostileServer, ended: dict[str, tuple[Outcome, str | None]], case: object) -> None:
    """Check outcome and message id of each number against what it got."""
    where = f"seed {SEED}, case {case}: {dict(server.tricks)}"
    TRIED["hostile answers"] += sum(server.tricks.values())
    for to, (outcome, message_id) in ended.items():
        assert server.sms[to] <= 1, (to, outcome, where)
        assert outcome in {Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN, Outcome.NOT_SENT}, where
        if outcome is Outcome.ACCEPTED:
            assert server.sms[to] == 1, (to, where)
            assert not any(other in str(message_id) for other in map(id_of, PEOPLE) if other != id_of(to)), (to, where)
        if outcome is Outcome.NOT_SENT:
            assert server.sms[to] == 0, (to, where)


def check_hidden(shown: str, case: object) -> None:
    found = [hidden for hidden in HIDDEN if hidden in shown]
    assert found == [], (f"seed {SEED}, case {case}", shown[max(0, shown.find((found or [""])[0]) - 400) :][:800])


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("client", CLIENTS)
def test_by_itself_each_client_holds(client: str, part: int, hook_for: Any, caplog: Any, fast_backoff: Any) -> None:
    caplog.set_level("DEBUG")
    for turn in range(many(30)):
        case, people = (client, part, turn), PEOPLE[turn % 5 :][:4]
        with HostileServer(case, ECHO) as server:
            hook = hook_for(server, retry_budget=0.3, extra={"timeout": 1})
            invites = [hook.check_invite(to=to, message=MESSAGE) for to in people]
            ended = dict(zip(people, send_each(hook, client, invites, pause=0.02), strict=True))
            hook.close()
        outcomes = {
            to: (Outcome.ACCEPTED, end.message_id) if isinstance(end, InviteAnswer) else (end.outcome, None)  # type: ignore[attr-defined]
            for to, end in ended.items()
        }
        check_each(server, outcomes, case)
        errors = [all_that_shows(end) for end in ended.values() if not isinstance(end, InviteAnswer)]
        check_hidden("\n".join([caplog.text, *errors]), case)
        caplog.clear()


@pytest.mark.parametrize("turn", range(many(10)))
def test_a_batch_that_is_tried_again_and_again_holds(
    turn: int, hook_for: Any, tmp_path: Any, ledger: Any, caplog: Any, capfd: Any
) -> None:
    caplog.set_level("DEBUG")
    case = ("batch", turn)
    rows = [{"to": f"+{to}", "name": "you, more about Foo", "id": f"c{at}"} for at, to in enumerate(PEOPLE)]
    with HostileServer(case, ECHO) as server:
        hook_for(server, extra={"timeout": 1})
        runs = [
            run_task(batch(rows, key_column="id", results_path=str(tmp_path / "results"), **ledger), try_number=number)
            for number in (1, 2, 3)
        ]
    results = {row.to: (row.outcome, row.message_id) for row in rows_in(tmp_path / "results")}
    assert sorted(results) == sorted(PEOPLE)
    check_each(server, results, case)
    for run in runs:
        assert sum(run.xcom["return_value"]["counts"].values()) == len(PEOPLE), case
    check_hidden("\n".join([caplog.text, *capfd.readouterr(), *map(left_by, runs)]), case)


@pytest.mark.parametrize("turn", range(many(30)))
def test_a_single_invite_that_is_tried_again_holds(
    turn: int, hook_for: Any, ledger: Any, caplog: Any, capfd: Any
) -> None:
    caplog.set_level("DEBUG")
    case = ("single", turn)
    with HostileServer(case, ECHO) as server:
        hook_for(server, extra={"timeout": 1})
        runs = [run_task(single(to=f"+{PEOPLE[0]}", mask_to=True, **ledger), try_number=number) for number in (1, 2, 3)]
    TRIED["hostile answers"] += sum(server.tricks.values())
    assert server.sms[PEOPLE[0]] <= 1, case
    for run in runs:
        assert not run.succeeded or server.sms[PEOPLE[0]] == 1, (case, run.error)
    check_hidden("\n".join([caplog.text, *capfd.readouterr(), *map(left_by, runs)]), case)


def left_by(run: TaskRun) -> str:
    """All that a try leaves for others to see."""
    return "\n".join([shown_by(run.error), json.dumps(run.xcom, default=repr), json.dumps(run.rendered, default=repr)])
