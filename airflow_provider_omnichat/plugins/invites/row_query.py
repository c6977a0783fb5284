"""Which rows a page asks for: the part of its address that the user's choices make."""

# No annotations from __future__: FastAPI before 0.118, which Airflow 3.1 has, cannot read them of a class.

from dataclasses import asdict, dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query

from airflow_provider_omnichat.campaign.model.pages import Order, PageQuery

ROWS_A_PAGE = 50


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

    def query(self, size: int = ROWS_A_PAGE) -> PageQuery:
        """
        Give what a place of rows is asked.

        :param size: rows at most.
        """
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
        """
        Give these choices, some of them changed, as a piece of an address; the rows begin at the first then.

        :param changes: by name; empty ones are left out.
        """
        values = {**asdict(self), "after": "", **changes}
        return "".join(
            f"&{urlencode({name: 1 if value is True else value})}"
            for name, value in values.items()
            if value and value != getattr(_DEFAULTS, name)
        )


_DEFAULTS = RowsWanted()
