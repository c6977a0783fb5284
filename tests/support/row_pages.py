"""Pages of rows, read as a person does who clicks on until the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_omnichat.campaign.model.pages import PageQuery, RowPages, ShownRow


def paged(pages: RowPages, **query: Any) -> list[ShownRow]:
    """Return all rows, page by page; a page before another one is never empty."""
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
    """Return the positions of rows in the list; each row has one."""
    return [row.position or 0 for row in rows]
