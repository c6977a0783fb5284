"""What the plugin adds to an API server: the pages, and where they cannot be had, nothing that would stop it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from airflow_provider_omnichat.operators.omnichat import (
    SendInviteBatchOperator,
    SendInviteOperator,
    SettleInvitesOperator,
)
from airflow_provider_omnichat.plugins.omnichat import URL_PREFIX, OmnichatPlugin
from airflow_provider_omnichat.sensors.omnichat import InviteDeliverySensor
from airflow_provider_omnichat.transfers.sql_to_omnichat import SqlToOmnichatInviteOperator
from tests.support.airflow_versions import AIRFLOW

PAGES = "airflow_provider_omnichat.plugins.invites.app"


@pytest.mark.skipif(AIRFLOW >= (3, 1), reason="tabs for plugins came with Airflow 3.1")
def test_an_airflow_without_tabs_gets_no_pages_and_loads_nothing_of_them() -> None:
    assert OmnichatPlugin().fastapi_apps == []
    assert PAGES not in sys.modules


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="tabs for plugins came with Airflow 3.1")
def test_an_airflow_with_tabs_gets_the_pages() -> None:
    (made,) = OmnichatPlugin().fastapi_apps
    assert made["url_prefix"] == URL_PREFIX
    assert {"/task", "/rows.csv"} <= {route.path for route in made["app"].routes}


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="tabs for plugins came with Airflow 3.1")
@pytest.mark.parametrize("page", ["task", "task.json", "rows.csv", "run", "campaigns"])
def test_an_airflow_on_which_the_pages_cannot_be_imported_starts_and_says_so(
    monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    from fastapi.testclient import TestClient

    monkeypatch.setitem(sys.modules, PAGES, None)
    (made,) = OmnichatPlugin().fastapi_apps
    answer = TestClient(made["app"]).get(f"/{page}?dag_id=a")
    assert answer.status_code == 501
    assert "do not work with this Airflow" in answer.text


@pytest.mark.parametrize(
    "operator",
    [
        SendInviteOperator,
        SendInviteBatchOperator,
        SqlToOmnichatInviteOperator,
        SettleInvitesOperator,
        InviteDeliverySensor,
    ],
)
def test_the_tab_is_on_tasks_with_an_argument_that_all_operators_have(operator: type[Any]) -> None:
    (view,) = (each for each in OmnichatPlugin.external_views if each["destination"] == "task_instance")
    assert view["applies_to"] == {"task.template_fields": ["omnichat_conn_id"]}
    assert "omnichat_conn_id" in operator.template_fields
