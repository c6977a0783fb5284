"""The sensor in a real Airflow: deferred, the triggerer is killed and started again, and all of it is found."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from airflow_provider_omnichat.sandbox import Sandbox
from tests.support.airflow_deployment import Airflow, assert_none_of
from tests.support.batch_tasks import number

pytestmark = pytest.mark.airflow

INVITES = 2000
DAG = "followed_batch"


def test_a_killed_triggerer_loses_nothing(deployment: Airflow, sandbox: Sandbox) -> None:
    people = [{"to": f"+{number(i)}"} for i in range(INVITES)]
    (deployment.marks / "followed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in people))
    sandbox.set_delivery({}, after=(3600.0, 3600.0))  # nothing is delivered before the test says so
    deployment.start_triggerer()
    run_id = deployment.trigger(DAG)

    def state() -> str | None:
        found = deployment.tries(DAG, run_id, "delivery").get(-1)
        return found[0] if found else None

    deployment.wait_until_at_rest(DAG, run_id, "delivery")
    ((stored,),) = deployment.query("SELECT kwargs FROM trigger WHERE classpath LIKE '%InviteDeliveryTrigger'")
    assert len(stored) < 8000  # a sample of 51 ids, and not 2,000
    asked = sandbox.logs_requests
    deployment.wait_until(lambda: sandbox.logs_requests > asked, "the trigger asks")
    deployment.restart_triggerer()
    sandbox.set_delivery({"undeliverable": 0.1, "expired": 0.05}, after=(0.0, 0.0))
    deployment.wait_until(lambda: state() in {"success", "failed"}, "the sensor has ended")

    assert deployment.wait_for_run(DAG, run_id) == "success"
    (counts,) = deployment.xcoms(DAG, run_id, "delivery", "return_value").values()
    assert sum(counts.values()) == INVITES
    files = (deployment.marks / "followed").rglob("delivery/*.jsonl")
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert Counter(row["delivery"] for row in rows) == {state: count for state, count in counts.items() if count}
    assert len({row["message_id"] for row in rows}) == sandbox.totals.accepted == INVITES
    assert_none_of([number(0), number(INVITES - 1)], deployment.log(DAG, run_id, "delivery"))
