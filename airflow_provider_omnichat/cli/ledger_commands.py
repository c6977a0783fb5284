"""What each command does."""

from __future__ import annotations

import argparse
import getpass
import json
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain

from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, LedgerAudit, LedgerRow
from airflow_provider_omnichat.campaign.ledger.desk import LedgerDesk
from airflow_provider_omnichat.campaign.ledger.settle import Settlement
from airflow_provider_omnichat.campaign.phone.identity import identity_of
from airflow_provider_omnichat.campaign.phone.number import normalise_number
from airflow_provider_omnichat.campaign.results.format import csv_line, one_line
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from airflow_provider_omnichat.cli.output import is_confirmed, print_table
from airflow_provider_omnichat.hooks.databases import ledger_database

_IN_DOUBT = ("unknown", CLAIMED)
_SHORTEST_NUMBER = 7
_SHOWN_ROWS = 20


class LedgerCommands:
    """
    The commands on one ledger.

    :param database: where it is.
    :param table: its name.
    """

    def __init__(self, database: SqlDatabase, table: str) -> None:
        self._database = database
        self._table = table
        self._audit = LedgerAudit(database, table)

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> LedgerCommands:
        """
        Find the ledger.

        :param arguments: with ``conn_id`` and ``table``.
        :raises LedgerError: the connection is not to such a database.
        :raises airflow.exceptions.AirflowNotFoundException: there is no such connection.
        """
        return cls(ledger_database(arguments.conn_id), arguments.table)

    def run(self, command: str, arguments: argparse.Namespace) -> int:
        """
        Do one of the commands.

        :param command: its name.
        :param arguments: what it takes.
        :return: 0 when it was done, 1 when it was not.
        """
        commands = {
            "status": self._status,
            "doubts": self._doubts,
            "settle": self._settle,
            "forget": self._forget,
            "export": self._export,
            "prune": self._prune,
        }
        return commands[command](arguments)

    def _status(self, arguments: argparse.Namespace) -> int:
        counts = self._audit.reasons(arguments.campaign)
        if not counts:
            raise ValueError(self._no_such(arguments.campaign))
        in_doubt = sum(count for (outcome, _), count in counts.items() if outcome in _IN_DOUBT)
        print(f"Campaign {arguments.campaign}: {_invites(sum(counts.values()))}, {in_doubt or 'none'} in doubt\n")
        by_doubt = sorted(counts.items(), key=lambda item: (item[0][0] not in _IN_DOUBT, item[0][0], -item[1]))
        rows = [(f"{count:,}", outcome, reason or "") for (outcome, reason), count in by_doubt]
        print_table(("INVITES", "OUTCOME", "REASON"), rows, right=[0])
        if any(outcome == CLAIMED for outcome, _ in counts):
            print("\nClaimed is what a task is sending right now, or what it left when it was killed.")
        return 0

    def _doubts(self, arguments: argparse.Namespace) -> int:
        doubts = self._audit.doubts(arguments.campaign)
        shown: Callable[[str], str] = str if arguments.whole_numbers else mask_number
        if arguments.csv:
            heads = ("row_key", "recipient", "outcome", "reason_code", "error", "since", "claimed_at", "claimed_by")
            rows = (
                (
                    row.row_key,
                    _number(row, shown),
                    row.outcome,
                    row.reason_code,
                    row.error,
                    row.since,
                    row.claimed_at.isoformat(timespec="seconds"),
                    row.claimed_by,
                )
                for row in doubts
            )
            sys.stdout.writelines(map(csv_line, chain([heads], rows)))
            return 0
        listed = list(doubts)
        if not listed and not self._audit.counts(arguments.campaign):
            raise ValueError(self._no_such(arguments.campaign))
        if not listed:
            print("Nobody is in doubt.")
            return 0
        _print_rows(listed, shown)
        print(f"\n{_invites(len(listed))} in doubt. What you find out about them: omnichat-ledger settle --help")
        return 0

    def _settle(self, arguments: argparse.Namespace) -> int:
        rows = self._rows_to_settle(arguments)
        was_sent = arguments.settle_as == "sent"
        _print_rows(rows[:_SHOWN_ROWS], mask_number)
        if len(rows) > _SHOWN_ROWS:
            print(f"  and {len(rows) - _SHOWN_ROWS:,} more")
        what = "sent, and never send them again" if was_sent else "not sent, and let the next try send them"
        if not is_confirmed(f"\nSettle {_invites(len(rows))} as {what}?", arguments.yes):
            return 1
        if not arguments.why.strip():
            raise ValueError("--why is empty: say how you know; it is kept, and nobody can ask you later")
        now = Settlement(was_sent, arguments.by or getpass.getuser(), arguments.why, datetime.now(UTC))
        with closing(LedgerDesk(self._database, self._table)) as desk:
            refused = desk.settle(
                arguments.campaign, {row.recipient: now for row in rows}, no_try_runs=arguments.no_task_runs
            )
        names = {row.recipient: row.row_key or mask_number(row.recipient) for row in rows}
        for recipient, why in refused.items():
            print(one_line(f"{names[recipient]} {why}"), file=sys.stderr)
        print(f"\n{_invites(len(rows) - len(refused))} settled as {arguments.settle_as.replace('-', ' ')}.")
        if refused:
            print(f"{_invites(len(refused))} not settled, see above.", file=sys.stderr)
        return 1 if refused else 0

    def _rows_to_settle(self, arguments: argparse.Namespace) -> list[LedgerRow]:
        """Find what was named: each of it, and each once."""
        found: dict[str, LedgerRow] = {}
        for key in arguments.row_key or ():
            rows = self._audit.find(arguments.campaign, key)
            if len(rows) != 1:
                how = "is not in the campaign" if not rows else f"stands at {len(rows)} numbers; name the number"
                raise ValueError(f"The row key {key!r} {how}")
            found[rows[0].recipient] = rows[0]
        for given in arguments.number or ():
            number = _identity(given)
            rows = [row for row in self._audit.rows(arguments.campaign, search=number) if row.recipient == number]
            if not rows:
                raise ValueError(f"{mask_number(number)} is not in the campaign")
            found[number] = rows[0]
        if arguments.reason is not None:
            of_reason = [row for row in self._audit.doubts(arguments.campaign) if row.reason_code == arguments.reason]
            if not of_reason:
                raise ValueError(f"Nobody of the campaign is in doubt for the reason {arguments.reason!r}")
            found |= {row.recipient: row for row in of_reason}
        if not found:
            raise ValueError("Say who: --row-key, --number or --reason")
        return list(found.values())

    def _forget(self, arguments: argparse.Namespace) -> int:
        number = _identity(arguments.number)
        campaigns = [row["campaign"] for row in self._audit.about(number) if row["recipient"] == number]
        if not campaigns:
            print(f"{mask_number(number)} is not in the ledger.")
            return 0
        print_table(("CAMPAIGN",), [[campaign] for campaign in campaigns])
        if not is_confirmed(f"\nErase {mask_number(number)} from {len(campaigns)} campaigns?", arguments.yes):
            return 1
        with closing(LedgerDesk(self._database, self._table)) as desk:
            count = desk.forget(number)
        print(
            f"\n{mask_number(number)} is erased from {count} rows. New campaigns do not know it: put it on the opt-out"
            " list, if the person shall get nothing more."
        )
        return 0

    def _export(self, arguments: argparse.Namespace) -> int:
        rows = self._audit.about(_identity(arguments.number))
        text = json.dumps(rows, default=str, ensure_ascii=False, indent=2)
        print(
            re.sub("[\x7f-\x9f\u2028\u2029]", lambda found: f"\\u{ord(found.group()):04x}", text)
        )  # a terminal would obey them
        return 0

    def _prune(self, arguments: argparse.Namespace) -> int:
        before = datetime.now(UTC) - arguments.older_than
        campaigns = self._audit.older_campaigns(before)
        doubtful = [each for each in campaigns if each.in_doubt and not arguments.with_doubts]
        due = [each for each in campaigns if each not in doubtful]
        if campaigns:
            rows = [
                (
                    f"{each.last:%Y-%m-%d}",
                    f"{each.invites:,}",
                    each.in_doubt or "",
                    each.campaign,
                    "" if each in due else "stays: settle its doubts, or --with-doubts",
                )
                for each in campaigns
            ]
            print_table(("LAST", "INVITES", "IN DOUBT", "CAMPAIGN", ""), rows, right=[1, 2])
        if not due:
            print(f"Nothing to delete: no campaign{' without doubts' if doubtful else ''} is that old.")
            return 0
        invites = _invites(sum(each.invites for each in due))
        question = (
            f"\nDelete {invites} of {len(due)} campaigns? Who is deleted is invited again by a later run of them."
        )
        if not is_confirmed(question, arguments.yes):
            return 1
        with closing(LedgerDesk(self._database, self._table)) as desk:
            count = desk.prune([each.campaign for each in due], before)
        print(f"\n{_invites(count)} deleted.")
        return 0

    def _no_such(self, campaign: str) -> str:
        return (
            f"There are no invites of the campaign {campaign!r} in the table {self._table}. Where a task names no"
            " campaign, it is dag/run/task; resend_key stands behind a #"
        )


def _print_rows(rows: Iterable[LedgerRow], shown: Callable[[str], str]) -> None:
    table = [
        (
            row.row_key,
            _number(row, shown),
            row.outcome,
            f"{row.claimed_at:%Y-%m-%d %H:%M:%S}",
            row.reason_code,
            row.claimed_by,
        )
        for row in rows
    ]
    print_table(("ROW KEY", "NUMBER", "OUTCOME", "CLAIMED AT (UTC)", "REASON", "BY"), table)


def _number(row: LedgerRow, shown: Callable[[str], str]) -> str:
    return "(forgotten)" if row.is_forgotten else shown(row.recipient)


def _invites(count: int) -> str:
    return f"{count:,} invite{'' if count == 1 else 's'}"


def _identity(given: str) -> str:
    """Give the number by which a person is known; one that a country does not have any more may still be there."""
    is_international = (
        given.isascii() and given.isdigit() and not given.startswith("0") and len(given) >= _SHORTEST_NUMBER
    )
    return identity_of(given if is_international else normalise_number(given))
