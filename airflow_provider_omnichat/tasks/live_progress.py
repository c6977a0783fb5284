"""How far a task is, in an XCom that the tab *Invites* of Airflow's UI reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_omnichat.hooks.supervisor import in_turn

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.campaign.engine.progress import Publish

PROGRESS_KEY = "invite_progress"
"""It holds ``campaign.engine.progress.Progress.snapshot``, with ``campaign``, ``try_number`` and ``results``."""

_FIRST_WITH_TABS = (3, 1)
_LONGEST_WAIT_SECONDS = 1.0


def has_tabs() -> bool:
    """Whether this Airflow has tabs that a plugin can add to."""
    from airflow import __version__

    return tuple(int(part) for part in __version__.split(".")[:2]) >= _FIRST_WITH_TABS


def progress_of(context: Context, log: Any, campaign: str, results: str | None = None) -> Publish | None:
    """Return what pushes the progress of a task; None if no tab can show it."""
    if not has_tabs():
        return None
    ti = context["ti"]
    head = {"campaign": campaign, "try_number": ti.try_number, "results": results, "is_over": False}
    # A snapshot that would have to wait is left out: the next one says more.
    push = in_turn(ti.xcom_push, seconds=_LONGEST_WAIT_SECONDS)
    has_warned = False

    def publish(snapshot: dict[str, Any]) -> None:
        nonlocal has_warned
        try:
            push(key=PROGRESS_KEY, value={**head, **snapshot})
        except Exception as error:  # it cannot be watched, which is no reason to stop sending
            if not has_warned:
                log.warning("The tab Invites does not show how far this task is (%s)", type(error).__name__)
            has_warned = True

    return publish
