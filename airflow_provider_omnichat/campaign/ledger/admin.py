"""What people change in the ledger of a database: doubts that they settle, numbers and campaigns that they erase."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_omnichat.api.identity import identity_of, recipient_key
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import NEVER_ENDED
from airflow_provider_omnichat.campaign.ledger.settle import OPEN_CLAIM_MINUTES, settle_each, undone
from airflow_provider_omnichat.campaign.ledger.sql_entries import answer_values, entry_of, read_rows, settlement_values
from airflow_provider_omnichat.campaign.ledger.sql_table import (
    CLAIM_ONLY,
    DEFAULT_TABLE,
    FORGOTTEN,
    RECORD_COLUMNS,
    SETTLED_COLUMNS,
    SqlTable,
)
from airflow_provider_omnichat.campaign.sql.drivers import row_values
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession
from airflow_provider_omnichat.campaign.sql.values import moment, stamp, storable, stored_name

_RECIPIENT_LENGTH = 32
_ENDED_COLUMNS = [name for name in RECORD_COLUMNS if name not in CLAIM_ONLY | {"row_key", "ended_at"}]
_PERSONAL_COLUMNS = ("row_key", "message_id", "error", "since", "answer", "settled_why")
_OF_ANOTHER = "was looked up, and what was found is the invite of another campaign"
_CHANGED = "was changed by somebody else at this moment; look at it again"


class _ExistingTable(SqlTable):
    """The table is not made where it is missing: its name was misspelled."""

    def create(self) -> str:
        return self.probe()


class LedgerAdmin:
    """Changes rows of a table that exists. Each call is one transaction; after a LedgerError, nothing was changed."""

    def __init__(
        self,
        database: SqlDatabase,
        table: str = DEFAULT_TABLE,
        has_ended: Callable[[str], bool | None] = lambda _: None,
    ) -> None:
        self._has_ended = has_ended
        self._table = _ExistingTable(table, database.dialect, database.placeholder)
        self._session = SqlSession(database, self._table, LedgerError, "select, update and delete")

    def settle(
        self, campaign: str, settlements: Mapping[str, Settlement], *, no_try_runs: bool = False
    ) -> dict[str, str]:
        """Settle doubts by recipient, as the table has it, and return why some were not; see :func:`.settled`."""
        name, table, mark = stored_name(campaign), self._table, self._table.placeholder
        columns = ", ".join(f"{column} = {mark}" for column in (*_ENDED_COLUMNS, *SETTLED_COLUMNS))
        # Only if it is still in doubt as it was read, and not if a task has claimed it again since. MySQL assigns from
        # left to right, and looks at the condition before.
        update = (
            f"UPDATE {table.sql_name} SET ended_at = COALESCE(ended_at, claimed_at), {columns}"  # noqa: S608 - checked names only
            f" WHERE campaign = {mark} AND recipient = {mark} AND claim_id = {mark}"
            " AND (outcome IS NULL OR outcome = 'unknown')"
        )

        def work(cursor: Any) -> dict[str, str]:
            claim_ids, known = {}, {}
            for recipient, claim_id, values in read_rows(cursor, table, name, sorted(settlements)):
                entry = entry_of(values, "", table)
                is_over = entry.outcome is None and bool(self._has_ended(entry.owner))
                claim_ids[recipient], known[recipient] = claim_id, entry._replace(is_over=is_over)
            # What is settled so already was written by this call, on a connection that broke after its commit arrived.
            due = {
                each: what for each, what in settlements.items() if each not in known or known[each].settlement != what
            }
            entries, refused = settle_each(known, due, no_try_runs=no_try_runs)
            for recipient, entry in sorted(entries.items()):
                if self._is_of_another_campaign(cursor, name, recipient, due[recipient]):
                    refused[recipient] = _OF_ANOTHER
                    continue
                values = (*answer_values(entry), *settlement_values(due[recipient]))
                cursor.execute(update, (*values, name, recipient, claim_ids[recipient]))
                if cursor.rowcount != 1:
                    refused[recipient] = _CHANGED
            return refused

        return self._session.write(work) if settlements else {}

    def undo(self, campaign: str, recipients: Collection[str], by: str) -> dict[str, str]:
        """Put invites that were wrongly settled as not sent in doubt again, and return why not; see :func:`.undone`."""
        table, mark = self._table, self._table.placeholder
        update = (
            f"UPDATE {table.sql_name} SET outcome = 'unknown', reason_code = {mark}, error = {mark}, since = {mark}"  # noqa: S608 - as above
            f" WHERE campaign = {mark} AND recipient = {mark} AND claim_id = {mark} AND outcome = 'not_sent'"
        )

        def work(cursor: Any) -> dict[str, str]:
            refused = dict.fromkeys(recipients, "is not in this campaign")
            for recipient, claim_id, values in read_rows(cursor, table, stored_name(campaign), sorted(recipients)):
                try:
                    reason = undone(entry_of(values, "", table), by).reason or NEVER_ENDED
                except ValueError as refusal:
                    refused[recipient] = str(refusal)
                    continue
                texts = (reason.code.value, storable(reason.first), storable(reason.since))
                cursor.execute(update, (*texts, stored_name(campaign), recipient, claim_id))
                if cursor.rowcount == 1:
                    del refused[recipient]
                else:
                    refused[recipient] = _CHANGED
            return refused

        return self._session.write(work) if recipients else {}

    def forget(self, number: str) -> int:
        """
        Erase a number (international format, digits only) from all campaigns, and return from how many.

        What stays of a row is how it ended and when, under a hash that only this campaign uses, so that nobody gets a
        second invite of it. Refused while an invite to the number may be being sent.
        """
        identity, table, mark = identity_of(number), self._table.sql_name, self._table.placeholder
        row = f"WHERE campaign = {mark} AND recipient = {mark}"
        emptied = ", ".join(f"{name} = NULL" for name in _PERSONAL_COLUMNS)
        forget = f"UPDATE {table} SET recipient = {mark}, {emptied} {row}"  # noqa: S608 - as above

        def work(cursor: Any) -> int:
            cursor.execute(f"SELECT campaign, outcome, claimed_at FROM {table} WHERE recipient = {mark}", (identity,))  # noqa: S608 - as above
            rows = sorted(map(row_values, cursor.fetchall()), key=lambda found: str(found[0]))
            for campaign, outcome, claimed_at in rows:
                is_recent = datetime.now(UTC) - moment(claimed_at) < timedelta(minutes=OPEN_CLAIM_MINUTES)
                if not outcome and is_recent:
                    raise LedgerError(
                        f"An invite of the campaign {campaign!r} to this number may be being sent right now; nothing"
                        " was erased. Wait until no task of the campaign runs"
                    )
            for campaign, *_ in rows:
                name = forgotten_name(campaign, identity)
                if list(read_rows(cursor, self._table, campaign, [name])):  # claimed again by a task that began before
                    cursor.execute(f"DELETE FROM {table} {row}", (campaign, identity))  # noqa: S608 - as above
                else:
                    cursor.execute(forget, (name, campaign, identity))
            return len(rows)

        return self._session.write(work)

    def prune(self, campaigns: Sequence[str], before: datetime) -> int:
        """Delete the rows of campaigns (as the table names them) to which nothing happened since; return how many."""
        at, mark = stamp(before), self._table.placeholder
        delete = (
            f"DELETE FROM {self._table.sql_name} WHERE campaign = {mark} AND claimed_at < {mark}"  # noqa: S608 - as above
            f" AND (ended_at IS NULL OR ended_at < {mark}) AND (settled_at IS NULL OR settled_at < {mark})"
        )

        def work(cursor: Any) -> int:
            count = 0
            for campaign in campaigns:
                cursor.execute(delete, (campaign, at, at, at))
                count += cursor.rowcount
            return count

        return self._session.write(work)

    def close(self) -> None:
        self._session.close()

    def _is_of_another_campaign(self, cursor: Any, campaign: str, recipient: str, settlement: Settlement) -> bool:
        if settlement.answer is None:
            return False
        mark = self._table.placeholder
        cursor.execute(
            f"SELECT campaign FROM {self._table.sql_name}"  # noqa: S608 - as above
            f" WHERE recipient = {mark} AND message_id = {mark} AND campaign <> {mark}",
            (recipient, settlement.answer.message_id, campaign),
        )
        return bool(cursor.fetchall())


def forgotten_name(campaign: str, identity: str) -> str:
    """Return what replaces an erased number: it tells whether a number is this one, and not which one it was."""
    return (FORGOTTEN + recipient_key(campaign, identity))[:_RECIPIENT_LENGTH]
