"""Final statuses of invites as the columns of a table take them."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from airflow_provider_omnichat.campaign.model.delivery import FinalStatus
from airflow_provider_omnichat.campaign.sql.values import stamp, storable


def delivery_values(status: FinalStatus, dialect: str) -> tuple[Any, ...]:
    """
    Give ``delivery``, ``delivered_at``, ``price`` and ``currency``.

    :param status: of an invite.
    :param dialect: of the database; SQLite's driver takes neither times nor decimal numbers.
    """
    at, price = status.done_at, status.price
    of_sqlite = dialect == "sqlite"
    if at is not None:
        at = stamp(at) if of_sqlite else at.astimezone(UTC).replace(tzinfo=None)  # type: ignore[assignment]
    return (
        status.delivery.value,
        at,
        str(price) if of_sqlite and price is not None else price,
        storable(status.currency, 8),
    )
