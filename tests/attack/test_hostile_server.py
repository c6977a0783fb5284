"""A server that answers anything, at any time: nobody gets two SMS, no answer is another's, nothing is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from tests.support.airflow_harness import TaskRun, run_task
from tests.support.attacks import chance, many
from tests.support.batch_tasks import batch, rows_in
from tests.support.both_clients import CLIENTS, all_that_shows, send_each
from tests.support.example_invite import MESSAGE
from tests.support.hostile_server import HostileServer, id_of
from tests.support.single_tasks import invite as single
from tests.support.what_shows import shown_by

pytestmark = [pytest.mark.attack, pytest.mark.timeout(300)]

PASSWORD = "pass-word-1"
ECHO = f"{MESSAGE} {PASSWORD}"
PEOPLE = [f"4179{chance('people').randrange(10**6, 10**7) + i}" for i in range(8)]


def check_each(server: HostileServer, ended: dict[str, tuple[Any, Any]], case: object) -> None:
    """Check outcome and message id of each number against what it got."""
    for to, (outcome, message_id) in ended.items():
        assert server.sms[to] <= 1, (case, to, outcome)
        assert outcome in {Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN, Outcome.NOT_SENT}, (case, to)
        assert outcome is not Outcome.NOT_SENT or server.sms[to] == 0, (case, to)
        if outcome is Outcome.ACCEPTED:
            assert server.sms[to] == 1, (case, to)
            assert not [other for other in PEOPLE if other != to and id_of(other) in str(message_id)], (case, to)


def check_hidden(case: object, *shown: str) -> None:
    for hidden in (*PEOPLE, "more about Foo", PASSWORD):
        assert hidden not in "\n".join(shown), case


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("client", CLIENTS)
def test_by_itself_each_client_holds(client: str, part: int, hook_for: Any, caplog: Any, fast_backoff: Any) -> None:
    caplog.set_level("DEBUG")
    for turn in range(many(30)):
        case, people = (client, part, turn), PEOPLE[turn % 5 :][:4]
        with HostileServer(case, ECHO) as server:
            hook = hook_for(server, retry_budget=0.3, extra={"timeout": 1})
            ended = send_each(hook, client, [hook.check_invite(to=to, message=MESSAGE) for to in people], pause=0.02)
            hook.close()
        outcomes: dict[str, tuple[Any, Any]] = {}
        for to, end in zip(people, ended, strict=True):
            is_answer = isinstance(end, InviteAnswer)
            outcomes[to] = (Outcome.ACCEPTED, end.message_id) if is_answer else (end.outcome, None)  # type: ignore[union-attr]
        check_each(server, outcomes, case)
        check_hidden(case, caplog.text, *(all_that_shows(end) for end in ended if not isinstance(end, InviteAnswer)))
        caplog.clear()


@pytest.mark.parametrize("turn", range(many(10)))
def test_a_batch_that_is_tried_again_and_again_holds(
    turn: int, hook_for: Any, tmp_path: Any, ledger: Any, caplog: Any, capfd: Any
) -> None:
    caplog.set_level("DEBUG")
    rows = [{"to": f"+{to}", "name": "you, more about Foo", "id": f"c{at}"} for at, to in enumerate(PEOPLE)]
    with HostileServer(turn, ECHO) as server:
        hook_for(server, extra={"timeout": 1})
        given = {"key_column": "id", "results_path": str(tmp_path / "results"), **ledger}
        runs = [run_task(batch(rows, **given), try_number=number) for number in (1, 2, 3)]
    results = {row.to: (row.outcome, row.message_id) for row in rows_in(tmp_path / "results")}
    assert sorted(results) == sorted(PEOPLE)
    check_each(server, results, turn)
    assert {sum(run.xcom["return_value"]["counts"].values()) for run in runs} == {len(PEOPLE)}
    check_hidden(turn, caplog.text, *capfd.readouterr(), *map(left_by, runs))


@pytest.mark.parametrize("turn", range(many(30)))
def test_a_single_invite_that_is_tried_again_holds(
    turn: int, hook_for: Any, ledger: Any, caplog: Any, capfd: Any
) -> None:
    caplog.set_level("DEBUG")
    with HostileServer(("single", turn), ECHO) as server:
        hook_for(server, extra={"timeout": 1})
        runs = [run_task(single(to=f"+{PEOPLE[0]}", mask_to=True, **ledger), try_number=number) for number in (1, 2, 3)]
    assert server.sms[PEOPLE[0]] <= 1
    assert not any(run.succeeded for run in runs) or server.sms[PEOPLE[0]] == 1
    check_hidden(turn, caplog.text, *capfd.readouterr(), *map(left_by, runs))


def left_by(run: TaskRun) -> str:
    """All that a try leaves for others to see."""
    return "\n".join([shown_by(run.error), json.dumps(run.xcom, default=repr), json.dumps(run.rendered, default=repr)])
