"""The buttons on a task instance in Airflow's UI: its tab *Invites*, its results, the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom, conf

from airflow_provider_omnichat.tasks.live_progress import has_tabs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

_CONSOLES = {
    "s3": "https://s3.console.aws.amazon.com/s3/buckets/{bucket}?prefix={path}/",
    "gs": "https://console.cloud.google.com/storage/browser/{bucket}/{path}",
}


class InvitesLink(BaseOperatorLink):
    """To the tab *Invites* of the task instance, from Airflow 3.1 on."""

    name = "Invites"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address; empty on an Airflow without tabs."""
        if not has_tabs():
            return ""
        base = conf.get("api", "base_url", fallback="http://localhost:8080/").rstrip("/")
        parts = ("dags", ti_key.dag_id, "runs", ti_key.run_id, "tasks", ti_key.task_id)
        mapped = f"/mapped/{ti_key.map_index}" if ti_key.map_index >= 0 else ""
        return f"{base}/{'/'.join(quote(part, safe='') for part in parts)}{mapped}/plugin/invites"


class ResultsLink(BaseOperatorLink):
    """To the folder of the result rows, if a browser can show it."""

    name = "Results"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address; empty for a table, a disk, or no results."""
        manifest: Any = XCom.get_value(key="return_value", ti_key=ti_key)
        location = manifest.get("results") if isinstance(manifest, dict) else None
        scheme, _, rest = location.partition("://") if isinstance(location, str) else ("", "", "")
        place, _, path = rest.partition("/")
        bucket = place.rpartition("@")[2]  # without the id of a connection
        console = _CONSOLES.get(scheme)
        return console.format(bucket=quote(bucket), path=quote(path)) if console else ""


class SandboxLink(BaseOperatorLink):
    """To the outbox of the sandbox."""

    name = "Sandbox"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address; empty if the task sent to the vendor."""
        return getattr(operator, "sandbox_url", None) or ""
