"""What people change in the ledger of a database: doubts that they settle, numbers and campaigns that they erase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_omnichat.campaign.ledger.desk_statements import DeskStatements
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError, Settlement
from airflow_provider_omnichat.campaign.ledger.settle import OPEN_CLAIM_MINUTES, settle_each
from airflow_provider_omnichat.campaign.ledger.sql_entries import answer_values, entry_of, rows_of, settlement_values
from airflow_provider_omnichat.campaign.ledger.sql_statements import COLUMNS, DEFAULT_TABLE, FORGOTTEN
from airflow_provider_omnichat.campaign.phone.identity import identity_of, recipient_key
from airflow_provider_omnichat.campaign.sql.cursor import row_values
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, SqlSession, Words
from airflow_provider_omnichat.campaign.sql.values import fitted, moment, stamp

_WORDS = Words(LedgerError, "select, update and delete")
_RECIPIENT_LENGTH = 32
_OTHERS = "was looked up, and what was found is the invite of another campaign"
_CHANGED = "was changed by somebody else at this moment; look at it again"


class LedgerDesk:
    """
    Changes rows of one table, each call in one transaction.

    :param database: where it is.
    :param table: ``table`` or ``schema.table``; not made if it is missing.
    :raises ValueError: when the table's name is not one.
    """

    def __init__(self, database: SqlDatabase, table: str = DEFAULT_TABLE) -> None:
        self._table = DeskStatements(table, database.dialect, database.placeholder)
        self._session = SqlSession(database, self._table, _WORDS)

    def settle(
        self, campaign: str, settlements: Mapping[str, Settlement], *, no_try_runs: bool = False
    ) -> dict[str, str]:
        """
        Write what was found out about invites in doubt: see :func:`.settle.settled`.

        A row is changed only if it still is in doubt as it was read: not if a task has claimed it again meanwhile.

        :param campaign: its name.
        :param settlements: by recipient, as the table has it.
        :param no_try_runs: the caller knows that no task of the campaign runs.
        :return: why some were not settled, by recipient.
        :raises LedgerError: nothing was settled.
        """
        name = fitted(campaign)

        def work(cursor: Any) -> dict[str, str]:
            claim_ids, known = {}, {}
            for recipient, (claim_id, *columns) in self._read(cursor, name, sorted(settlements)).items():
                claim_ids[recipient] = claim_id
                known[recipient] = entry_of(tuple(columns), "", self._table.name)
            # What is settled so already was written by this call, on a connection that broke after its commit arrived.
            due = {
                each: what for each, what in settlements.items() if each not in known or known[each].settlement != what
            }
            entries, refused = settle_each(known, due, no_try_runs=no_try_runs)
            for recipient, entry in sorted(entries.items()):
                if self._is_of_another_campaign(cursor, name, recipient, due[recipient]):
                    refused[recipient] = _OTHERS
                    continue
                values = (*answer_values(entry), *settlement_values(due[recipient]))
                cursor.execute(self._table.settle(), (*values, name, recipient, claim_ids[recipient]))
                if cursor.rowcount != 1:
                    refused[recipient] = _CHANGED
            return refused

        return self._session.write(work) if settlements else {}

    def forget(self, number: str) -> int:
        """
        Erase a number from all campaigns.

        What stays of a row is how it ended and when, under a hash that only this campaign uses, so that nobody gets a
        second invite of it.

        :param number: in international format, digits only.
        :return: how many rows it was in.
        :raises LedgerError: nothing was erased; also while an invite to the number may be being sent.
        """
        identity = identity_of(number)

        def work(cursor: Any) -> int:
            cursor.execute(self._table.about(), (identity,))
            rows = [dict(zip(COLUMNS, row_values(row), strict=True)) for row in cursor.fetchall()]
            for campaign, claimed_at in [(row["campaign"], row["claimed_at"]) for row in rows if not row["outcome"]]:
                if datetime.now(UTC) - moment(claimed_at) < timedelta(minutes=OPEN_CLAIM_MINUTES):
                    raise LedgerError(
                        f"An invite of the campaign {campaign!r} to this number may be being sent right now; nothing"
                        " was erased. Wait until no task of the campaign runs"
                    )
            campaigns = sorted(row["campaign"] for row in rows)
            for campaign in campaigns:
                name = forgotten_name(campaign, identity)
                if self._read(cursor, campaign, [name]):  # claimed once more by a task that had begun before
                    cursor.execute(self._table.delete(), (campaign, identity))
                else:
                    cursor.execute(self._table.forget(), (name, campaign, identity))
            return len(campaigns)

        return self._session.write(work)

    def prune(self, campaigns: Sequence[str], before: datetime) -> int:
        """
        Delete campaigns of which nothing happened since.

        :param campaigns: as the table has their names.
        :param before: what was claimed, ended or settled then or later stays.
        :return: how many rows were deleted.
        :raises LedgerError: nothing was deleted.
        """
        at = stamp(before)

        def work(cursor: Any) -> int:
            count = 0
            for campaign in campaigns:
                cursor.execute(self._table.prune(), (campaign, at, at, at))
                count += cursor.rowcount
            return count

        return self._session.write(work)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _is_of_another_campaign(self, cursor: Any, campaign: str, recipient: str, settlement: Settlement) -> bool:
        if settlement.answer is None:
            return False
        cursor.execute(self._table.of_message(), (recipient, settlement.answer.message_id, campaign))
        return bool(cursor.fetchall())

    def _read(self, cursor: Any, campaign: str, recipients: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        found, size = {}, self._table.rows_a_statement
        for start in range(0, len(recipients), size):
            part = recipients[start : start + size]
            cursor.execute(self._table.read(len(part)), (campaign, *part))
            rows = rows_of(campaign, cursor.fetchall(), self._table.name)
            found.update({recipient: tuple(rest) for recipient, *rest in rows})
        return found


def forgotten_name(campaign: str, identity: str) -> str:
    """
    Give what stands for a number that was erased: it tells whether a number is this one, and not which one it was.

    :param campaign: its name, as the table has it.
    :param identity: the number by which the person is known.
    """
    return (FORGOTTEN + recipient_key(campaign, identity))[:_RECIPIENT_LENGTH]
