"""The table of the SQL ledger: how it is made, and every statement that touches it, in the words of each database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from airflow_provider_omnichat.campaign.sql.written_table import (
    DELIVERY_COLUMNS,
    DIALECTS,
    NAME_LENGTH,
    AnyDialect,
    WrittenTable,
)

DEFAULT_TABLE = "omnichat_invites"

_LONGEST_NAME = 50  # PostgreSQL takes 63, and names the key after the table
_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{_LONGEST_NAME - 1}}}", re.ASCII)

_COLUMNS = (
    ("campaign", f"VARCHAR({NAME_LENGTH}) NOT NULL"),
    ("recipient", "VARCHAR(32) NOT NULL"),
    ("row_key", "TEXT"),
    ("outcome", "VARCHAR(16)"),
    ("message_id", "VARCHAR(255)"),
    ("status_group", "INTEGER"),
    ("status_id", "INTEGER"),
    ("status_name", "VARCHAR(255)"),
    ("message_count", "INTEGER"),
    ("attempts", "INTEGER NOT NULL"),
    ("reason_code", "VARCHAR(40)"),
    ("error", "TEXT"),
    ("since", "TEXT"),
    ("answer", "TEXT"),
    ("claimed_by", f"VARCHAR({NAME_LENGTH}) NOT NULL"),
    ("claim_id", "CHAR(32) NOT NULL"),
    ("claimed_at", "{time} NOT NULL"),
    ("ended_at", "{time}"),
    ("settled_as", "VARCHAR(8)"),
    ("settled_by", f"VARCHAR({NAME_LENGTH})"),
    ("settled_at", "{time}"),
    ("settled_why", "TEXT"),
)
COLUMNS = tuple(name for name, _ in _COLUMNS)
SETTLED_COLUMNS = ("settled_as", "settled_by", "settled_at", "settled_why")
"""Written when somebody settles a doubt, and kept when the invite is claimed again."""
RECORD_COLUMNS = tuple(name for name in COLUMNS if name not in SETTLED_COLUMNS)
CLAIM_COLUMNS = ("campaign", "recipient", "row_key", "attempts", "claimed_by", "claim_id", "claimed_at")
READ_COLUMNS = (
    "campaign",
    "recipient",
    "claim_id",
    "outcome",
    "attempts",
    "reason_code",
    "error",
    "since",
    "answer",
    "claimed_by",
    "claimed_at",
    "ended_at",
    *SETTLED_COLUMNS,
)
CLAIM_ONLY = ("campaign", "recipient", "claimed_by", "claim_id", "claimed_at")
# The outcome last: MySQL assigns from left to right, and the condition looks at the old one.
_OUTCOME_COLUMNS = (*(name for name in RECORD_COLUMNS if name not in {*CLAIM_ONLY, "outcome"}), "outcome")

_REASON = ("reason_code", "error", "since")

FORGOTTEN = "x"
"""With what a recipient begins that was forgotten: numbers have digits only, and sort before it everywhere."""

# No date type means the same in all three. These are without a zone, and hold UTC.
_TIME = {"sqlite": "TEXT", "postgresql": "TIMESTAMP(6)", "mysql": "DATETIME(6)"}


def check_table_name(name: str) -> tuple[str, ...]:
    """
    Take a table's name apart.

    :param name: ``table`` or ``schema.table``; letters, digits and underscores, at most 50 of them in each.
    :return: the one or two parts.
    :raises ValueError: when it is anything else.
    """
    parts = tuple(name.split("."))
    if not 1 <= len(parts) <= 2 or not all(_NAME.fullmatch(part) for part in parts):
        raise ValueError(
            "The ledger's table must be named table or schema.table, each of letters, digits and underscores,"
            f" beginning with no digit and at most {_LONGEST_NAME} long; not {name!r}"
        )
    return parts


@dataclass(frozen=True, slots=True)
class SqlTable(WrittenTable):
    """
    The statements for one table.

    :param name: see :func:`check_table_name`.
    :param dialect: one of :data:`DIALECTS`.
    :param placeholder: what the driver takes for a parameter, ``?`` or ``%s``.
    """

    kind: ClassVar = "ledger"
    declared: ClassVar = _COLUMNS + DELIVERY_COLUMNS
    times: ClassVar = _TIME
    if_missing: ClassVar = "IF NOT EXISTS "
    # It begins with the recipient: a block then finds its rows by number whatever the planner knows of campaigns
    # (PostgreSQL, with a new table, read all of the campaign for each block), and counting a number's invites over
    # campaigns needs no index more.
    _key: ClassVar = "recipient, campaign"

    name: str
    dialect: AnyDialect
    placeholder: str

    def __post_init__(self) -> None:
        check_table_name(self.name)
        if self.dialect not in DIALECTS:
            raise ValueError(f"The ledger's dialect must be one of {', '.join(DIALECTS)}, not {self.dialect!r}")
        if self.placeholder not in ("?", "%s"):
            raise ValueError(f"The driver's placeholder must be ? or %s, not {self.placeholder!r}")

    @property
    def rows_a_statement(self) -> int:
        """
        How many rows go into one statement.

        SQLite takes 999 parameters in old builds; psycopg becomes slower a row with thousands of them.
        """
        return 999 // len(RECORD_COLUMNS) if self.dialect == "sqlite" else 250

    def claim(self, rows: int) -> str:
        """Insert claims, and leave alone what is there. Parameters: those of :data:`CLAIM_COLUMNS` for each row."""
        # MySQL's INSERT IGNORE would also swallow other errors, and lock what is there less firmly.
        unless_there = (
            "ON DUPLICATE KEY UPDATE claim_id = claim_id"
            if self.dialect == "mysql"
            else "ON CONFLICT (campaign, recipient) DO NOTHING"
        )
        return f"INSERT INTO {self.sql_name} {self._values(CLAIM_COLUMNS, rows)} {unless_there}"

    def retake(self, rows: int, retakable_by_all: int, own: int, own_open: bool) -> str:
        """
        Make claims anew.

        Parameters: claimed_by, claim_id, claimed_at, campaign, the recipients, the outcomes that may be retaken from
        anybody, then of the own ones: claimed_by, the outcomes, and the time before which an open claim was written, if
        *own_open*. What was in doubt keeps its reason: should this try end before it can say how, the doubt is older.
        """
        kept = [f"{name} = CASE WHEN outcome IS NULL OR outcome = 'unknown' THEN {name} END" for name in _REASON]
        others = (name for name in _OUTCOME_COLUMNS if name not in {"row_key", "attempts", *_REASON})
        emptied = ", ".join([*kept, *(f"{name} = NULL" for name in others)])
        allowed = [f"outcome IN ({self.marks(retakable_by_all)})"] if retakable_by_all else []
        of_own = [f"outcome IN ({self.marks(own)})"] if own else []
        if own_open:
            of_own.append(f"(outcome IS NULL AND claimed_at < {self.placeholder})")
        if of_own:
            allowed.append(f"(claimed_by = {self.placeholder} AND ({' OR '.join(of_own)}))")
        return (
            f"UPDATE {self.sql_name} SET claimed_by = {self.placeholder}, claim_id = {self.placeholder},"  # noqa: S608 - as above
            f" claimed_at = {self.placeholder}, attempts = 0, {emptied}"
            f" WHERE campaign = {self.placeholder} AND recipient IN ({self.marks(rows)}) AND ({' OR '.join(allowed)})"
        )

    def read(self, rows: int) -> str:
        """Read entries. Parameters: campaign, the recipients."""
        return (
            f"SELECT {', '.join(READ_COLUMNS)} FROM {self.sql_name}"  # noqa: S608 - as above
            f" WHERE campaign = {self.placeholder} AND recipient IN ({self.marks(rows)})"
        )

    def record(self, rows: int) -> str:
        """
        Write how claims ended. Parameters: those of :data:`RECORD_COLUMNS` for each row.

        A claim that was meanwhile retaken is not touched, unless to say that it was accepted, and nothing replaces an
        accepted. A row that somebody deleted is written again: the invite may have gone out.
        """
        old, new = ("", "VALUES({})") if self.dialect == "mysql" else ("ledger.", "excluded.{}")
        condition = (
            f"({new.format('outcome')} = 'accepted' OR ({old}claim_id = {new.format('claim_id')}"
            f" AND ({old}outcome IS NULL OR {old}outcome <> 'accepted')))"
        )
        insert = self._values(RECORD_COLUMNS, rows)
        if self.dialect == "mysql":
            updates = ", ".join(f"{name} = IF({condition}, VALUES({name}), {name})" for name in _OUTCOME_COLUMNS)
            return f"INSERT INTO {self.sql_name} {insert} ON DUPLICATE KEY UPDATE {updates}"
        updates = ", ".join(f"{name} = excluded.{name}" for name in _OUTCOME_COLUMNS)
        return (
            f"INSERT INTO {self.sql_name} AS ledger {insert}"
            f" ON CONFLICT (campaign, recipient) DO UPDATE SET {updates} WHERE {condition}"
        )

    def leave_in_doubt(self, rows: int) -> str:
        """
        End open claims of earlier tries as unknown; what was a doubt before keeps its reason.

        Parameters: what became of such a doubt since, text and code of the reason of the others, campaign, claimed_by,
        the time before which the claim was written, the recipients.
        """
        # What is assigned first is looked at last: MySQL assigns from left to right.
        mark, unless_known = self.placeholder, "CASE WHEN reason_code IS NULL THEN {} ELSE {} END"
        return (
            f"UPDATE {self.sql_name} SET since = {unless_known.format('since', mark)},"  # noqa: S608 - as above
            f" error = {unless_known.format(mark, 'error')}, reason_code = COALESCE(reason_code, {mark}),"
            " ended_at = claimed_at, outcome = 'unknown'"
            f" WHERE campaign = {mark} AND claimed_by = {mark} AND outcome IS NULL AND claimed_at < {mark}"
            f" AND recipient IN ({self.marks(rows)})"
        )

    def any_forgotten(self) -> str:
        """Read one recipient that was forgotten, if there is one: by the key, whatever the size of the table."""
        return f"SELECT recipient FROM {self.sql_name} WHERE recipient >= '{FORGOTTEN}' LIMIT 1"  # noqa: S608 - as above

    def other_campaign(self) -> str:
        """Read a campaign in which an owner may have sent. Parameters: claimed_by, the campaign that is not meant."""
        return (
            f"SELECT campaign FROM {self.sql_name} WHERE claimed_by = {self.placeholder}"  # noqa: S608 - as above
            f" AND campaign <> {self.placeholder} AND (outcome IS NULL OR outcome IN ('accepted', 'unknown'))"
            " ORDER BY claimed_at DESC LIMIT 1"
        )

    def count_recent(self, rows: int) -> str:
        """Count invites by recipient. Parameters: the recipients, since when twice."""
        return (
            f"SELECT recipient, COUNT(*) FROM {self.sql_name}"  # noqa: S608 - as above
            f" WHERE recipient IN ({self.marks(rows)})"
            f" AND ((outcome IN ('accepted', 'unknown') AND ended_at >= {self.placeholder})"
            f" OR (outcome IS NULL AND claimed_at >= {self.placeholder})) GROUP BY recipient"
        )

    @property
    def sql_name(self) -> str:
        """See :class:`.WrittenTable`."""
        return ".".join(map(self._quoted, check_table_name(self.name)))

    def _quoted(self, name: str) -> str:
        return f"`{name}`" if self.dialect == "mysql" else f'"{name}"'

    def _values(self, columns: Sequence[str], rows: int) -> str:
        row = f"({self.marks(len(columns))})"
        return f"({', '.join(columns)}) VALUES {', '.join([row] * rows)}"
