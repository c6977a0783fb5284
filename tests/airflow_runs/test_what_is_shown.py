"""What a run leaves to be read: task logs, rendered templates, and what *Clear* gives back."""

from __future__ import annotations

import base64
import json

import pytest

from airflow_provider_omnichat.sandbox.server import Sandbox
from tests.support.airflow_deployment import Airflow, assert_none_of
from tests.support.airflow_versions import HAS_STATE_STORE

pytestmark = pytest.mark.airflow

ENDINGS = ("ok", "rejected:10", "500-after", "429", "ok")


@pytest.fixture(scope="module")
def finished(deployment: Airflow, shared_sandbox: Sandbox) -> tuple[Airflow, str]:
    """A run in which every way to end occurs."""
    shared_sandbox.clear()
    shared_sandbox.clear_faults()
    shared_sandbox.script(*ENDINGS)
    run_id = deployment.trigger("invites")
    assert deployment.wait_for_run("invites", run_id) == "failed"
    return deployment, run_id


def test_every_ending_occurred(finished: tuple[Airflow, str]) -> None:
    airflow, run_id = finished
    states = [state for task in ("plain", "mapped") for state, _ in airflow.tries("invites", run_id, task).values()]
    assert sorted(states) == ["failed", "failed", "success", "success", "success"]


def test_log_files_hold_no_number_text_or_credential(finished: tuple[Airflow, str], shared_sandbox: Sandbox) -> None:
    airflow, run_id = finished
    log = airflow.log("invites", run_id)

    assert "44770****0" in log
    assert "REJECTED_DND" in log
    assert_none_of(secrets_of(shared_sandbox), log)


def test_rendered_templates_show_masked_numbers_and_no_text(
    finished: tuple[Airflow, str], shared_sandbox: Sandbox
) -> None:
    airflow, run_id = finished
    rendered = airflow.rendered("invites", run_id)

    plain = json.loads(rendered["plain", -1])
    assert (plain["to"], plain["message"], plain["default_region"]) == ("07700****00", "<text of 28 characters>", "GB")
    mapped = json.loads(rendered["mapped", 0])
    assert (mapped["to"], mapped["message"]) == ("+44 7****01", "<text of 28 characters>")
    assert_none_of(secrets_of(shared_sandbox), "\n".join(rendered.values()))


@pytest.mark.skipif(not HAS_STATE_STORE, reason="before Airflow 3.3 a cleared task knows nothing of what it sent")
def test_cleared_run_gives_back_its_answers_and_sends_nothing(
    finished: tuple[Airflow, str], shared_sandbox: Sandbox
) -> None:
    airflow, run_id = finished
    requests = shared_sandbox.requests_seen
    keys = [("plain", "messageId"), ("mapped", "messageId"), ("mapped", "status"), ("mapped", "return_value")]
    before = [airflow.xcoms("invites", run_id, *key) for key in keys]

    airflow.clear("invites", run_id)

    assert airflow.wait_for_run("invites", run_id) == "failed"
    assert shared_sandbox.requests_seen == requests
    assert [airflow.xcoms("invites", run_id, *key) for key in keys] == before
    assert "accepted by an earlier try, nothing was sent now" in airflow.log("invites", run_id)
    assert "Rejected by an earlier try" in airflow.log("invites", run_id)
    assert "Already in doubt since an earlier try" in airflow.log("invites", run_id)
    assert shared_sandbox.totals.numbers_sent_twice == 0


def secrets_of(sandbox: Sandbox) -> list[str]:
    """What must not be shown: numbers in any writing, texts, credentials."""
    ours = sandbox.credentials
    basic = base64.b64encode(f"{ours.user}:{ours.password}".encode()).decode()
    numbers = [writing for n in range(5) for writing in (f"770090020{n}", f"7700 90020{n}", f"90020{n}")]
    return [*numbers, "zebra", "giraffe", "come to", ours.password, ours.api_key, ours.client_secret, basic]
