"""The rows that a page shows and a download has: which of them, and how their numbers are shown."""

# No annotations from __future__: FastAPI before 0.118, which Airflow 3.1 has, cannot read them of a class.

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated
from urllib.parse import urlencode

from airflow.configuration import conf
from fastapi import Query

from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.campaign.model.pages import Order, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import Place
from airflow_provider_omnichat.campaign.results.format import csv_line

ROWS_A_PAGE = 50
_ROWS_A_DOWNLOAD_READS = 1000
_CSV_COLUMNS = ("key", "row", "number", "outcome", "reason_code", "reason", "status", "message_id", "at")


@dataclass(frozen=True, slots=True)
class RowsWanted:
    """The parameters of a page with rows; a dependency of FastAPI."""

    outcome: Annotated[str, Query(max_length=20)] = ""
    reason: Annotated[str, Query(max_length=60)] = ""
    status: Annotated[str, Query(max_length=255)] = ""
    q: Annotated[str, Query(max_length=200)] = ""
    order: Annotated[Order, Query()] = "list"
    desc: Annotated[bool, Query()] = False
    after: Annotated[str, Query(max_length=300)] = ""
    doubts: Annotated[int, Query(ge=0, le=10**9, description="how many doubts come before those shown")] = 0

    def query(self, size: int = ROWS_A_PAGE) -> PageQuery:
        """Build the query for a place, of at most so many rows."""
        return PageQuery(
            outcome=self.outcome or None,
            reason_code=self.reason or None,
            status=self.status or None,
            search=self.q.strip() or None,
            order=self.order,
            is_descending=self.desc,
            after=self.after,
            size=size,
        )

    def address(self, **changes: object) -> str:
        """Return these choices, some of them changed, as the end of an address; it leads to the first rows again."""
        values = {**asdict(self), "after": "", **changes}
        return "".join(
            f"&{urlencode({name: 1 if value is True else value})}"
            for name, value in values.items()
            if value and value != getattr(_DEFAULTS, name)
        )


_DEFAULTS = RowsWanted()


def csv_lines(place: Place, query: PageQuery) -> Iterator[str]:
    """Write a header, then the chosen rows; raise PageError if they cannot be read."""
    # Unsorted: to sort again for each page of them takes too long, and what reads CSV can sort.
    query = query._replace(after="", order="list", is_descending=False, size=_ROWS_A_DOWNLOAD_READS)
    page, shown = place.page(query), number_shower()
    yield csv_line(_CSV_COLUMNS)
    while True:
        yield "".join([_csv_line(row, shown(row.number)) for row in page.rows])
        if page.after is None:
            return
        page = place.page(query._replace(after=page.after))


def _csv_line(row: ShownRow, number: str) -> str:
    at = row.at.isoformat(timespec="seconds") if row.at else None
    before = (row.key, row.position, number, row.outcome)
    return csv_line((*before, row.reason_code, row.reason, row.status, row.message_id, at))


def number_shower() -> Callable[[str | None], str]:
    """Return what shows numbers on one page: masked, unless the setting ``[omnichat] show_numbers`` is on."""
    shows_all = conf.getboolean("omnichat", "show_numbers", fallback=False)
    return lambda number: "" if not number else number if shows_all else mask_number(number)
