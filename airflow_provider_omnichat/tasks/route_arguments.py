"""The arguments that choose by which of the vendor's APIs invites are sent, and how; the same for all tasks."""

from __future__ import annotations

from typing import Any

from airflow_provider_omnichat.api.account import checked_sender
from airflow_provider_omnichat.api.privacy import describe_text
from airflow_provider_omnichat.campaign.checks.text import LinkTemplate
from airflow_provider_omnichat.tasks.fields import Field, FieldsMixin, Kind, table

ROUTE_FIELDS = table(
    Field("link_placeholder", Kind.TEXT),
    "application_key",
    "integration_type",
    Field("link", Kind.TEXT, shown=describe_text, shown_marks=("{",)),
    "sender",
    Field("shorten_links", templated=False),
)


def refuse_wrong_route(link: object, sender: object, shorten_links: object) -> None:
    """Raise ValueError for what is visibly wrong when the DAG file is parsed."""
    if isinstance(link, str) and not is_template(link):
        LinkTemplate(link)
    if isinstance(sender, str) and not is_template(sender):
        checked_sender("sender", sender)
    if not isinstance(shorten_links, bool):
        raise ValueError(f"shorten_links must be True or False, not {shorten_links!r}")


def route_of(task: FieldsMixin) -> dict[str, Any]:
    """Return the arguments of a task by name, as :func:`.defaults_of` takes them."""
    return {name: task.private(name) for name in ROUTE_FIELDS}


def is_template(text: str) -> bool:
    """Return whether Jinja would change a text."""
    return any(mark in text for mark in ("{{", "{%", "{#"))
