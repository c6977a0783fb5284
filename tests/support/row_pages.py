"""Pages of rows, read as a person does who clicks on until the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_omnichat.campaign.model.pages import PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import Place


def paged(pages: Place, **query: Any) -> list[ShownRow]:
    """Give all rows, page by page; no page is empty that says that there is another."""
    asked = PageQuery(**query)
    rows: list[ShownRow] = []
    while True:
        page = pages.page(asked)
        assert len(page.rows) <= asked.size
        rows += page.rows
        if page.after is None:
            return rows
        assert page.rows or page.looked_at
        asked = asked._replace(after=page.after)


def positions(rows: Sequence[ShownRow]) -> list[int]:
    """Give the places of rows in the list, of which each row has one."""
    return [row.position or 0 for row in rows]
