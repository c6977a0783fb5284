"""What a batch tells those who are scheduled on the assets that it is an outlet of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_TOLD = ("campaign", "rows", "counts", "segments", "sent_this_try")


def add_to_asset_events(context: Context, outlets: Sequence[object], manifest: Mapping[str, Any]) -> None:
    """Attach the counts to the events of a task's outlets."""
    kinds = _with_an_event()
    given: Any = context
    for outlet in outlets:
        if isinstance(outlet, kinds):
            given["outlet_events"][outlet].extra = {name: manifest[name] for name in _TOLD}


def _with_an_event() -> tuple[type, ...]:
    """
    Give the kinds of outlets whose event Airflow makes when the task has succeeded.

    No event comes of the others, and Airflow 3 refuses to be told of some: an alias has only the events that a task
    adds to it by asset, and conditions (``AssetAll``) or a file for its lineage have none.
    """
    try:
        from airflow.sdk.definitions.asset import AssetRef
    except ImportError:  # Airflow 2 has no references
        return (Asset,)
    return (Asset, AssetRef)
