"""What is told to those who wait for an asset."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_runner
from tests.support.batch_tasks import batch, number, people


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
