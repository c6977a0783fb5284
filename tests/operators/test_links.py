"""The buttons on a task instance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import XCom

from airflow_provider_omnichat.operators import links
from airflow_provider_omnichat.operators.links import InvitesLink, ResultsLink, SandboxLink
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import AIRFLOW, needs_runner
from tests.support.batch_tasks import batch, people
from tests.support.single_tasks import invite

RUN = "manual__2026-11-01T08:00:00+00:00"


def link(given: Any, operator: Any = None, **fields: Any) -> str:
    key: Any = SimpleNamespace(**{"dag_id": "invites", "run_id": RUN, "task_id": "invite", "map_index": -1, **fields})
    return str(given.get_link(operator, ti_key=key))


class TestInvites:
    @pytest.fixture(autouse=True)
    def airflow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(links, "has_tabs", lambda: True)
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://air:8080/")

    def test_it_goes_to_the_tab(self) -> None:
        run = "manual__2026-11-01T08%3A00%3A00%2B00%3A00"
        assert link(InvitesLink()) == f"http://air:8080/dags/invites/runs/{run}/tasks/invite/plugin/invites"

    @pytest.mark.parametrize(("index", "part"), [(-1, ""), (0, "/mapped/0"), (12, "/mapped/12")])
    def test_a_mapped_task_has_its_index(self, index: int, part: str) -> None:
        assert link(InvitesLink(), run_id="r", map_index=index).endswith(f"/runs/r/tasks/invite{part}/plugin/invites")

    @pytest.mark.parametrize(
        ("name", "written"),
        [
            ("a/b", "a%2Fb"),
            ("a b", "a%20b"),
            ("a?b#c", "a%3Fb%23c"),
            ('"><b>', "%22%3E%3Cb%3E"),
            ("Zürich", "Z%C3%BCrich"),
        ],
    )
    def test_names_of_all_sorts_stay_one_part(self, name: str, written: str) -> None:
        assert link(InvitesLink(), run_id=name).endswith(f"/dags/invites/runs/{written}/tasks/invite/plugin/invites")
        assert link(InvitesLink(), run_id="r", task_id=name).endswith(f"/tasks/{written}/plugin/invites")

    @pytest.mark.parametrize("base", ["https://x.org/team/airflow", "https://x.org/team/airflow/"])
    def test_airflow_may_live_below_a_path(self, monkeypatch: pytest.MonkeyPatch, base: str) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", base)
        assert link(InvitesLink(), run_id="r").startswith("https://x.org/team/airflow/dags/invites/runs/r/")

    def test_there_is_none_where_airflow_has_no_tabs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(links, "has_tabs", lambda: False)
        assert link(InvitesLink()) == ""


class TestResults:
    @pytest.mark.parametrize(
        ("location", "expected"),
        [
            ("s3://bucket/a b/run", "https://s3.console.aws.amazon.com/s3/buckets/bucket?prefix=a%20b/run/"),
            ("s3://aws@bucket/a/run", "https://s3.console.aws.amazon.com/s3/buckets/bucket?prefix=a/run/"),
            ("s3://aws@bucket/a@b/run", "https://s3.console.aws.amazon.com/s3/buckets/bucket?prefix=a%40b/run/"),
            ("s3://bucket/a&b=c#d", "https://s3.console.aws.amazon.com/s3/buckets/bucket?prefix=a%26b%3Dc%23d/"),
            ("gs://bucket/a/run", "https://console.cloud.google.com/storage/browser/bucket/a/run"),
            ("file:///tmp/results", ""),
            ("/tmp/results", ""),
            ("table results of connection warehouse", ""),
            ("javascript://alert(1)", ""),
            (None, ""),
            (17, ""),
            ({"a": 1}, ""),
        ],
    )
    def test_it_goes_to_a_bucket(self, monkeypatch: pytest.MonkeyPatch, location: Any, expected: str) -> None:
        monkeypatch.setattr(XCom, "get_value", lambda **_: {"results": location})
        assert link(ResultsLink()) == expected

    @pytest.mark.parametrize("manifest", [None, "text", [], {}, 5])
    def test_no_manifest_is_no_link(self, monkeypatch: pytest.MonkeyPatch, manifest: Any) -> None:
        monkeypatch.setattr(XCom, "get_value", lambda **_: manifest)
        assert link(ResultsLink()) == ""


class TestSandbox:
    @needs_runner
    @pytest.mark.parametrize("task", [lambda: batch(people(1)), invite], ids=["batch", "single"])
    def test_a_task_that_ran_has_its_links(self, at_sandbox: Any, task: Any) -> None:
        run = run_task(task())
        assert run.succeeded
        assert run.links["SandboxLink"] == at_sandbox.url
        assert run.links.get("ResultsLink", "") == ""
        assert run.links["InvitesLink"].endswith("/tasks/invite/plugin/invites") == (AIRFLOW >= (3, 1))

    def test_a_task_that_sent_to_the_vendor_has_none(self) -> None:
        assert link(SandboxLink(), operator=SimpleNamespace(sandbox_url=None)) == ""
        assert link(SandboxLink(), operator=SimpleNamespace()) == ""
