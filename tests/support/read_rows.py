"""The rows of a file, as tests read them."""

from __future__ import annotations

import io
from typing import Any

from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row
from airflow_provider_omnichat.campaign.rows.files import rows_of_stream


def read(content: str | bytes, name: str = "list.csv", **options: Any) -> list[Row | BrokenRow]:
    data = content.encode() if isinstance(content, str) else content
    return list(rows_of_stream(io.BytesIO(data), name, **options))


def fields(rows: list[Row | BrokenRow]) -> list[Any]:
    return [dict(row.fields) if isinstance(row, Row) else str(row.reason) for row in rows]
