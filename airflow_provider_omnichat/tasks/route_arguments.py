"""The arguments that choose by which of the vendor's APIs invites are sent, and how; the same for all tasks."""

from __future__ import annotations

from typing import Any

from airflow_provider_omnichat.tasks.fields import Field, FieldsMixin, Kind, table

ROUTE_FIELDS = table(
    Field("link_placeholder", Kind.TEXT),
    "application_key",
    "integration_type",
)


def route_arguments(task: FieldsMixin) -> dict[str, Any]:
    """Return the values by name, as :func:`.routes.route_of` takes them."""
    return {name: task.private(name) for name in ROUTE_FIELDS}
