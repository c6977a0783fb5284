"""
The plugin: a tab *Invites* on task instances and runs, and a page *Invite campaigns*. Airflow 3.1 and later.

Airflow finds it by the entry point group ``airflow.plugins``; it loads the plugins of a provider's info only if
``[core] lazy_discover_providers`` is off. Every process of Airflow imports this module, so that what only the API
server needs is imported when it asks for it.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_omnichat.tasks.live_progress import has_tabs

URL_PREFIX = "/omnichat"
_log = logging.getLogger(__name__)

# Without a leading slash: Airflow's page has a base address, which may be below a path.
_TASK = "omnichat/task?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"
_RUN = "omnichat/run?dag_id={DAG_ID}&run_id={RUN_ID}"
# From Airflow 3.4 on, the tab is on tasks alone that have this argument, as all operators of the provider and their
# subclasses do; before, and on runs, Airflow shows a tab on all or none.
_OURS = {"applies_to": {"task.template_fields": ["omnichat_conn_id"]}}
_ICONS = {"icon": "omnichat/static/invites.svg", "icon_dark_mode": "omnichat/static/invites-dark.svg"}


class OmnichatPlugin(AirflowPlugin):
    """Shows campaigns in Airflow's UI."""

    name = "omnichat"
    external_views: ClassVar[list[dict[str, Any]]] = [  # type: ignore[misc]  # the base class has plain lists
        {"name": "Invites", "href": _TASK, "destination": "task_instance", "url_route": "invites", **_OURS, **_ICONS},
        {"name": "Invites", "href": _RUN, "destination": "dag_run", "url_route": "run-invites", **_ICONS},
        {
            "name": "Invite campaigns",
            "href": "omnichat/campaigns",
            "destination": "nav",
            "category": "browse",
            "url_route": "invite-campaigns",
            **_ICONS,
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # made when the API server asks
        """The pages, for Airflow's API server."""
        if not has_tabs():
            return []
        try:
            from airflow_provider_omnichat.plugins.invites.app import create_app

            app: Any = create_app()
        except Exception:  # a newer Airflow has moved something; its API server must start all the same
            _log.exception("The pages of airflow-provider-omnichat do not work with this Airflow")
            app = _without_pages()
        return [{"app": app, "url_prefix": URL_PREFIX, "name": "Omnichat invites"}]


def _without_pages() -> Any:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    text = (
        "These pages do not work with this Airflow; the log of its API server says why."
        " A newer airflow-provider-omnichat may know it. Sending is not affected."
    )
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route("/{page:path}", lambda: PlainTextResponse(text, 501))
    return app
