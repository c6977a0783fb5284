"""Rows as CSV, for spreadsheets and scripts."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_omnichat.campaign.model.pages import PageQuery, RowPages, ShownRow
from airflow_provider_omnichat.campaign.results.format import csv_line
from airflow_provider_omnichat.plugins.invites.numbers import number_shower

_COLUMNS = ("key", "row", "number", "outcome", "reason_code", "reason", "status", "message_id", "at")
_PAGE_ROWS = 1000


def csv_lines(rows: RowPages, query: PageQuery) -> Iterator[str]:
    """
    Give a header, then the rows that are chosen, a page of them at a time.

    :param rows: where they are.
    :param query: which. Its place, order and size are not looked at: to sort anew for each page takes too long, and
        what reads CSV can sort.
    :raises PageError: they cannot be read.
    """
    query = query._replace(after="", order="list", is_descending=False, size=_PAGE_ROWS)
    page, shown = rows.page(query), number_shower()
    yield csv_line(_COLUMNS)
    while True:
        yield "".join([_line(row, shown(row.number)) for row in page.rows])
        if page.after is None:
            return
        page = rows.page(query._replace(after=page.after))


def _line(row: ShownRow, number: str) -> str:
    values = (
        row.key,
        row.position,
        number,
        row.outcome,
        row.reason_code,
        row.reason,
        row.status,
        row.message_id,
        row.at.isoformat(timespec="seconds") if row.at else None,
    )
    return csv_line(values)
