"""A task instance that ran before and remembers nothing of it sends nothing, nor does one whose memory is elsewhere."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator, SendInviteOperator
from airflow_provider_omnichat.tasks.earlier_tries import BEGUN_KEY, EarlierTriesMixin
from tests.support.airflow_harness import START, TaskRun, run_task
from tests.support.airflow_versions import HAS_STATE_STORE, needs_runner, needs_store
from tests.support.batch_tasks import MESSAGE, batch, counts, people
from tests.support.deferrals import Deferral
from tests.support.example_invite import NUMBER
from tests.support.queried_people import invites as queried
from tests.support.queried_people import people as queried_people
from tests.support.single_tasks import invite
from tests.support.sql_connections import connected

NOT_REMEMBERED = "a task that ran before, and there is no record of whom it invited"


def decorated(**given: Any) -> Any:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_omnichat.decorators.omnichat_invite import omnichat_invite_task

    with DAG("invites", schedule=None, start_date=START):
        made: Any = omnichat_invite_task(lambda: people(3), message=MESSAGE, task_id="invite", **given)
        return made().operator


def batch_of_three(**given: Any) -> Any:
    return batch(people(3), **given)


@pytest.fixture(params=["single", "batch", "transfer", "decorator"])
def task(request: pytest.FixtureRequest, at_sandbox: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "transfer":
        database = connected("sqlite3", request, tmp_path, monkeypatch)
        database.fill("people", "id mobile first_name", queried_people(3))
    return {"single": invite, "batch": batch_of_three, "transfer": queried, "decorator": decorated}[request.param]


def most_sms(sandbox: Any) -> int:
    """The most that one person got."""
    return max(Counter(sms.to for sms in sandbox.accepted).values(), default=0)


def refused(run: TaskRun) -> str:
    assert run.state == "failed", "not to be retried"
    assert isinstance(run.error, AirflowFailException)
    assert str(run.error).startswith("Nothing was sent. ")
    return str(run.error)


# Nobody remembers


def test_a_cleared_task_without_a_memory_sends_nothing_and_says_what_to_do(task, at_sandbox):
    first = run_task(task())
    assert first.succeeded, first.error
    sent = len(at_sandbox.accepted)
    for try_number in (2, 3):
        said = refused(run_task(task(), try_number=try_number, retries=try_number - 1, cleared=try_number - 1))
        assert NOT_REMEMBERED in said
        assert f'resend_key="try-{try_number + 1}"' in said
        assert ("keep_task_state" if HAS_STATE_STORE else "no task state store") in said
    assert len(at_sandbox.accepted) == sent


def test_a_resend_key_that_names_the_try_sends_once_and_never_again(task, at_sandbox):
    run_task(task())
    run = run_task(task(resend_key="try-3"), try_number=3, retries=2, cleared=2)
    assert run.succeeded, run.error
    assert most_sms(at_sandbox) == 2
    for try_number, key in [(4, "try-3"), (5, "again"), (6, "try-{{ ti.try_number }}"), (7, "3"), (8, "")]:
        given: dict[str, Any] = {"try_number": try_number, "retries": try_number - 1, "cleared": try_number - 1}
        assert NOT_REMEMBERED in refused(run_task(task(resend_key=key), **given))
    assert most_sms(at_sandbox) == 2


@needs_store
def test_a_retry_after_a_try_that_was_allowed_to_send_again_goes_on(at_sandbox):
    store: dict[str, Any] = {}
    at_sandbox.script("429")
    first = run_task(invite(resend_key="try-3", retries=1), store=store, try_number=3, retries=3, cleared=2)
    assert first.state == "up_for_retry"
    again = run_task(invite(resend_key="try-3", retries=1), store=store, try_number=4, retries=3, cleared=2)
    assert again.succeeded, again.error
    assert len(at_sandbox.accepted) == 1


@needs_store
@pytest.mark.parametrize(
    ("given", "may_send"),
    [
        ({"retries": 2}, True),
        ({"retries": 2, "cleared": 1}, False),
        ({"retries": 3}, False),  # cleared without touching the run, which the API can
        ({"retries": 1, "try_number": 4}, False),
    ],
)
def test_a_retry_after_a_try_that_never_began_sends(task, at_sandbox, given, may_send):
    """Its worker was lost before the task began, so there is no note; Airflow keeps the store over retries."""
    run = run_task(task(retries=2), **{"try_number": 2, **given})
    assert run.succeeded == may_send
    assert most_sms(at_sandbox) == (1 if may_send else 0)


@needs_store
@pytest.mark.parametrize("broken", [{"default_region": "{{ 1 / 0 }}"}, {"default_region": "{{ none }}"}])
def test_a_first_try_that_could_not_be_rendered_leaves_word_that_nothing_was_sent(task, at_sandbox, broken):
    store: dict[str, Any] = {}
    assert not run_task(task(**broken), store=store).succeeded
    run = run_task(task(), store=store, try_number=2, retries=1, cleared=1)
    assert run.succeeded, run.error
    assert most_sms(at_sandbox) == 1


@needs_store
def test_a_dry_run_that_is_then_cleared_to_be_sent_is_sent(at_sandbox):
    store: dict[str, Any] = {}
    assert run_task(batch_of_three(dry_run=True), store=store).succeeded
    assert counts(run_task(batch_of_three(), store=store, try_number=2, cleared=1)) == {"accepted": 3}


@needs_store
def test_a_task_that_goes_on_after_a_wait_without_a_memory_sends_nothing(at_sandbox):
    asleep = Deferral("", {}, "resume", {"event": None, "counts": {}})
    said = refused(run_task(batch_of_three(resend_key="try-1"), resume=asleep))
    assert NOT_REMEMBERED in said
    assert at_sandbox.requests_seen == 0


@needs_store
@pytest.mark.parametrize("message", ["GetTaskStateStore", "SetTaskStateStore"])
@pytest.mark.parametrize("how", ["fails", "forgets"])
def test_a_first_try_that_cannot_leave_word_sends_nothing_and_its_retry_sends(at_sandbox, message, how):
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse

    def answer(seen: Any) -> Any:
        if type(seen).__name__ != message or seen.key != BEGUN_KEY:
            return None
        if how == "fails":
            raise ConnectionError
        return OKResponse(ok=True) if "Set" in message else ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND)

    store: dict[str, Any] = {}
    first = run_task(invite(retries=1), store=store, retries=1, on_message=answer)
    assert first.state == "up_for_retry"
    assert isinstance(first.error, LedgerError)
    assert at_sandbox.requests_seen == 0
    assert run_task(invite(retries=1), store=store, retries=1, try_number=2).succeeded


@needs_store
@pytest.mark.parametrize("junk", ["x", 7, ["x"], True])
def test_word_that_cannot_be_read_is_no_memory(at_sandbox, junk):
    run = run_task(invite(), store={BEGUN_KEY: junk}, try_number=2)
    assert isinstance(run.error, LedgerError)
    assert at_sandbox.requests_seen == 0


def test_without_a_task_state_store_a_later_try_is_refused_whatever_it_is():
    operator: Any = EarlierTriesMixin()
    vars(operator).update(ledger_conn_id=None, retries=1, resend_key="")
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1, max_tries=1)
    context: Any = {"ti": ti, "dag_run": SimpleNamespace(clear_number=0)}
    operator.agree_with_earlier_tries(context, "d/r/t")
    ti.try_number = 2
    with pytest.raises(AirflowFailException, match="this Airflow has no task state store"):
        operator.agree_with_earlier_tries(context, "d/r/t")


# Another campaign, or another ledger


@pytest.fixture(params=[pytest.param("store kept", marks=needs_store), "store emptied"])
def kept(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments of a try: the state store that the tries share, or a new one for each; a ledger there is as well."""
    return {"store": {}} if request.param == "store kept" else {}


TEMPLATES = ["spring-{{ ti.try_number }}", "spring-{{ macros.datetime.now() }}", "spring-{{ macros.uuid.uuid4() }}"]


@pytest.mark.parametrize("campaign", TEMPLATES[:2])
@pytest.mark.parametrize("key", ["", "2"])
def test_a_campaign_that_changes_between_tries_is_refused(task, at_sandbox, ledger, kept, campaign, key):
    given = {"campaign": campaign, "resend_key": key, **ledger}
    first = run_task(task(**given), **kept)
    assert first.succeeded, first.error
    again = run_task(task(**given), try_number=2, retries=1, cleared=1, **kept)
    said = refused(again)
    assert "An earlier try of this task used the campaign 'spring-" in said
    assert "such as {{ ds }} or {{ run_id }}" in said
    assert most_sms(at_sandbox) == 1


def test_a_campaign_that_stays_is_sent_once(task, at_sandbox, ledger, kept):
    given = {"campaign": "spring-{{ ds }}-{{ run_id }}", **ledger}
    for try_number in (1, 2, 3):
        run = run_task(task(**given), try_number=try_number, retries=try_number, cleared=try_number, **kept)
        assert run.succeeded, run.error
    assert most_sms(at_sandbox) == 1


def test_a_campaign_that_a_person_changes_needs_a_new_resend_key(at_sandbox, ledger, kept):
    tries = [("spring", ""), ("summer", "2"), ("summer", "2"), ("autumn", "3")]
    for cleared, (campaign, key) in enumerate(tries):
        given: dict[str, Any] = {"try_number": cleared + 1, "retries": cleared, "cleared": cleared, **kept}
        run = run_task(batch_of_three(campaign=campaign, resend_key=key, **ledger), **given)
        assert run.succeeded, run.error
        assert most_sms(at_sandbox) == {"spring": 1, "summer": 2, "autumn": 3}[campaign]


@pytest.mark.parametrize("key", ["{{ ti.try_number }}", "{{ macros.datetime.now() }}", "{{ var.value.x }}{{ ts }}"])
def test_a_resend_key_that_a_template_changes_by_itself_is_refused(at_sandbox, monkeypatch, ledger, kept, key):
    monkeypatch.setenv("AIRFLOW_VAR_X", "1")
    task = {"resend_key": key + "{{ ti.try_number }}", **ledger}
    assert run_task(invite(**task), **kept).succeeded
    said = refused(run_task(invite(**task), try_number=2, retries=1, cleared=1, **kept))
    assert "may change by itself" in said
    assert len(at_sandbox.accepted) == 1


@needs_runner
def test_a_resend_key_that_is_written_out_or_a_variable_sends_again_and_for_each_value_once(
    at_sandbox, monkeypatch, ledger, kept
):
    keys = [("", ""), ("2", ""), ("2", ""), ("{{ var.value.x }}", "3"), ("{{ var.value.x }}", "4"), ("2", ""), ("", "")]
    for cleared, (key, variable) in enumerate(keys):
        monkeypatch.setenv("AIRFLOW_VAR_X", variable)
        given: dict[str, Any] = {"try_number": cleared + 1, "retries": cleared, "cleared": cleared, **kept}
        run = run_task(batch_of_three(resend_key=key, **ledger), **given)
        assert run.succeeded, run.error
    assert most_sms(at_sandbox) == 4


@needs_store
def test_a_resend_key_that_the_dag_file_makes_anew_does_not_count_between_retries(at_sandbox):
    store: dict[str, Any] = {}
    at_sandbox.script("ok", "429")
    first = run_task(batch_of_three(resend_key="12:00:01", concurrency=1, retry_budget=0), store=store, retries=1)
    assert not first.succeeded
    again = run_task(batch_of_three(resend_key="12:05:01"), store=store, retries=1, try_number=2)
    assert "If that is on purpose, clear the task" in refused(again)
    assert most_sms(at_sandbox) == 1


@needs_store
@pytest.mark.parametrize("change", ["given later", "another table"])
def test_another_ledger_than_that_of_earlier_tries_is_refused(task, at_sandbox, ledger, change):
    store: dict[str, Any] = {}
    given = {} if change == "given later" else ledger
    then = ledger if change == "given later" else {**ledger, "ledger_table": "other"}
    assert run_task(task(**given), store=store).succeeded
    said = refused(run_task(task(**then), store=store, try_number=2, retries=1, cleared=1))
    assert "where there is no record of whom that try invited" in said
    assert most_sms(at_sandbox) == 1


# Siblings


def test_a_ledger_remembers_over_clear_and_over_a_run_that_is_made_again(task, at_sandbox, ledger):
    for try_number in (1, 2, 3, 1):
        run = run_task(task(**ledger), try_number=try_number, retries=try_number, cleared=try_number - 1)
        assert run.succeeded, run.error
    assert most_sms(at_sandbox) == 1


def mapped(kind: Any, expanded: dict[str, list[Any]], **given: Any) -> Any:
    from airflow.sdk import DAG

    with DAG("invites", schedule=None, start_date=START):
        return kind.partial(task_id="invite", message=MESSAGE, **given).expand(**expanded)


SIBLINGS: dict[str, tuple[Any, dict[str, list[Any]]]] = {
    "single": (SendInviteOperator, {"to": [f"+{NUMBER}", f"+{NUMBER}", "+41791112233"]}),
    "batch": (SendInviteBatchOperator, {"invites": [people(2), people(3), people(1)]}),
}


@needs_runner
@pytest.mark.parametrize("kind", SIBLINGS)
def test_mapped_tasks_without_a_ledger_that_they_share_send_nothing(at_sandbox, kind):
    operator, expanded = SIBLINGS[kind]
    for index in range(3):
        said = refused(run_task(mapped(operator, expanded), map_index=index))
        assert "mapped tasks do not know whom the others invite" in said
        assert "ledger_conn_id" in said
    assert at_sandbox.requests_seen == 0


@needs_runner
@pytest.mark.parametrize("kind", SIBLINGS)
@pytest.mark.parametrize("campaign", [{}, {"campaign": "welcome"}])
def test_mapped_tasks_with_a_ledger_invite_each_person_once(at_sandbox, ledger, kind, campaign):
    operator, expanded = SIBLINGS[kind]
    for try_number in (1, 2):
        for index in range(3):
            task = mapped(operator, expanded, **ledger, **campaign)
            run = run_task(task, map_index=index, try_number=try_number, retries=1, cleared=try_number - 1)
            assert run.succeeded, run.error
    assert most_sms(at_sandbox) == 1
    assert len(at_sandbox.accepted) == {"single": 2, "batch": 3}[kind]


@needs_runner
def test_a_mapped_dry_run_needs_no_ledger(at_sandbox):
    run = run_task(mapped(SendInviteBatchOperator, {"invites": [people(2)]}, dry_run=True), map_index=0)
    assert run.succeeded, run.error
