"""The statements of those who look into the ledger's table, in the words of each database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from airflow_provider_omnichat.campaign.ledger.sql_statements import COLUMNS, FORGOTTEN, SqlTable
from airflow_provider_omnichat.campaign.sql.values import contains

Order = Literal["claimed_at", "updated", "row_key", "outcome", "reason_code", "recipient"]
"""The columns by which rows can be sorted."""

# A settlement, or how it ended, may be older than the claim: of what was claimed again.
_UPDATED = (
    "CASE WHEN settled_at > COALESCE(ended_at, claimed_at) THEN settled_at ELSE COALESCE(ended_at, claimed_at) END"
)
_ORDERS: dict[Order, str] = {
    "claimed_at": "claimed_at",
    "updated": _UPDATED,
    "row_key": "COALESCE(row_key, '')",
    "outcome": "COALESCE(outcome, '')",
    "reason_code": "COALESCE(reason_code, '')",
    "recipient": "recipient",
}
ROW_COLUMNS = (
    "recipient",
    "row_key",
    "outcome",
    "reason_code",
    "error",
    "since",
    "message_id",
    "status_name",
    "delivery",
    "claimed_by",
    "claimed_at",
    "updated",
    "settled_as",
    "settled_by",
    "settled_why",
)
_SELECTED = ", ".join(f"{_UPDATED} AS updated" if name == "updated" else name for name in ROW_COLUMNS)
_IN_DOUBT = "outcome IS NULL OR outcome = 'unknown'"


class AuditStatements(SqlTable):
    """The statements for one table; see :class:`.sql_statements.SqlTable`."""

    def count_reasons(self) -> str:
        """Count a campaign's invites by outcome and reason. Parameters: campaign."""
        return (
            f"SELECT outcome, reason_code, COUNT(*) FROM {self.sql_name}"  # noqa: S608 - checked names only
            f" WHERE campaign = {self.placeholder} GROUP BY outcome, reason_code"
        )

    def page(
        self,
        *,
        outcomes: Sequence[str],
        open_too: bool,
        claimed_by: str | None,
        reason: str | None,
        status: str | None,
        search: str | None,
        order: Order,
        descending: bool,
        after: tuple[str, str] | None,
    ) -> tuple[str, list[Any]]:
        """
        Read a page of a campaign.

        :param outcomes: which; with *open_too* also claims that nobody has ended. All if there is neither.
        :param open_too: see *outcomes*.
        :param claimed_by: which task instance; None for any.
        :param reason: which code; None for any.
        :param status: which name of the vendor's status; None for any.
        :param search: a part of the row key, or a whole number; None for all.
        :param order: by what.
        :param descending: the last first.
        :param after: what the last row of the page before has in *order* and recipient.
        :return: the statement, and those of its parameters that stand between the campaign, and limit and offset.
        """
        mark, column = self.placeholder, _ORDERS[order]
        conditions, parameters = [f"campaign = {mark}"], []
        which = [f"outcome IN ({self.marks(len(outcomes))})"] if outcomes else []
        if open_too:
            which.append("outcome IS NULL")
        if which:
            conditions.append(f"({' OR '.join(which)})")
            parameters += list(outcomes)
        equal = {"claimed_by": claimed_by, "reason_code": reason, "status_name": status}
        for name, value in equal.items():
            if value is not None:
                conditions.append(f"{name} = {mark}")
                parameters.append(value)
        if search:
            condition, pattern = contains("row_key", search, mark)
            conditions.append(f"({condition} OR recipient = {mark})")
            parameters += [pattern, "".join(filter(str.isdigit, search))]
        if after is not None:
            conditions.append(f"({column}, recipient) {'<' if descending else '>'} ({mark}, {mark})")
            parameters += list(after)
        way = " DESC" if descending else ""
        return (
            f"SELECT {_SELECTED} FROM {self.sql_name} WHERE {' AND '.join(conditions)}"  # noqa: S608 - as above
            f" ORDER BY {column}{way}, recipient{way} LIMIT {mark} OFFSET {mark}"
        ), parameters

    def by_key(self) -> str:
        """Read a campaign's invites of one row key. Parameters: campaign, row key."""
        return (
            f"SELECT {_SELECTED} FROM {self.sql_name}"  # noqa: S608 - as above
            f" WHERE campaign = {self.placeholder} AND row_key = {self.placeholder}"
        )

    def older_campaigns(self) -> str:
        """Count invites and doubts of campaigns of which nothing happened since. Parameters: since when."""
        return (
            f"SELECT campaign, COUNT(*), SUM(CASE WHEN {_IN_DOUBT} THEN 1 ELSE 0 END), MAX({_UPDATED})"  # noqa: S608 - as above
            f" FROM {self.sql_name} GROUP BY campaign HAVING MAX({_UPDATED}) < {self.placeholder}"
            " ORDER BY 4, 1"
        )

    def about(self) -> str:
        """Read all rows of a recipient. Parameters: recipient."""
        return f"SELECT {', '.join(COLUMNS)} FROM {self.sql_name} WHERE recipient = {self.placeholder}"  # noqa: S608 - as above

    def forgotten(self) -> str:
        """Read campaign and recipient of all that were forgotten."""
        return f"SELECT campaign, recipient FROM {self.sql_name} WHERE recipient >= '{FORGOTTEN}'"  # noqa: S608 - as above
