"""What each command does; it returns 0 when that was done, 1 when it was not."""

from __future__ import annotations

import getpass
import json
import re
import sys
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain

from airflow_provider_omnichat.api.identity import identity_of
from airflow_provider_omnichat.api.outcomes import label_of
from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED, CampaignSummary, LedgerAudit, LedgerRow
from airflow_provider_omnichat.campaign.ledger.interface import Settlement
from airflow_provider_omnichat.campaign.ledger.settle import SHORTEST_WHY
from airflow_provider_omnichat.campaign.ledger.sql_table import SqlTable
from airflow_provider_omnichat.campaign.phone.number import normalise_number
from airflow_provider_omnichat.campaign.results.format import csv_line, one_line
from airflow_provider_omnichat.campaign.results.table import ResultSchema
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, TableUpgrade
from airflow_provider_omnichat.hooks.databases import ledger_database, result_database

_IN_DOUBT = ("unknown", CLAIMED)
_SHORTEST_NUMBER_DIGITS = 7
_SHOWN_ROWS = 20
_CELL_WIDTH = 60
_CSV_COLUMNS = ("row_key", "recipient", "outcome", "reason_code", "error", "since", "claimed_at", "claimed_by")


def run_command(name: str, arguments: Namespace, find: Callable[[Callable[[], SqlDatabase]], SqlDatabase]) -> int:
    """Find the database of ``conn_id``, with Airflow set up if need be, and run a command on its ``table``."""
    is_results = name == "upgrade" and arguments.kind == ResultSchema.kind
    database_of = result_database if is_results else ledger_database
    return _COMMANDS[name](find(lambda: database_of(arguments.conn_id)), arguments)


def _campaigns(database: SqlDatabase, arguments: Namespace) -> int:
    campaigns = LedgerAudit(database, arguments.table).campaigns()[::-1]
    if arguments.csv:
        listed = ([*each[:-1], each.last.isoformat(timespec="seconds")] for each in campaigns)
        sys.stdout.writelines(map(csv_line, chain([CampaignSummary._fields], listed)))
        return 0
    if not campaigns:
        print(f"There are no campaigns in the table {arguments.table}.")
        return 0
    rows = [
        (f"{each.last:%Y-%m-%d %H:%M}", each.runs, f"{each.invites:,}", each.in_doubt or "", each.campaign)
        for each in campaigns
    ]
    _print_table(("LAST (UTC)", "RUNS", "INVITES", "IN DOUBT", "CAMPAIGN"), rows, right=[1, 2, 3])
    return 0


def _status(database: SqlDatabase, arguments: Namespace) -> int:
    counts = LedgerAudit(database, arguments.table).reasons(arguments.campaign)
    if not counts:
        raise ValueError(_no_such_campaign(arguments))
    in_doubt = sum(count for (outcome, _), count in counts.items() if outcome in _IN_DOUBT)
    print(f"Campaign {arguments.campaign}: {_invites(sum(counts.values()))}, {in_doubt or 'none'} in doubt\n")
    by_doubt = sorted(counts.items(), key=lambda item: (item[0][0] not in _IN_DOUBT, item[0][0], -item[1]))
    rows = [(f"{count:,}", label_of(outcome), _reason_code(outcome, reason)) for (outcome, reason), count in by_doubt]
    _print_table(("INVITES", "OUTCOME", "REASON"), rows, right=[0])
    if any(outcome == CLAIMED for outcome, _ in counts):
        print("\nClaimed invites are being sent by a task right now, or were left by one that was killed.")
    return 0


def _doubts(database: SqlDatabase, arguments: Namespace) -> int:
    audit = LedgerAudit(database, arguments.table)
    doubts = audit.doubts(arguments.campaign)
    shown: Callable[[str], str] = str if arguments.whole_numbers else mask_number
    if arguments.csv:
        sys.stdout.write(csv_line(_CSV_COLUMNS))
        for row in doubts:
            claimed_at = row.claimed_at.isoformat(timespec="seconds")
            code = _reason_code(row.outcome, row.reason_code)
            more = {"recipient": _number(row, shown), "reason_code": code, "claimed_at": claimed_at}
            cells = {**row._asdict(), **more}
            sys.stdout.write(csv_line(cells[name] for name in _CSV_COLUMNS))
        return 0
    listed = list(doubts)
    if not listed and not audit.reasons(arguments.campaign):
        raise ValueError(_no_such_campaign(arguments))
    if not listed:
        print("Nobody is in doubt.")
        return 0
    _print_rows(listed, shown)
    print(f"\n{_invites(len(listed))} in doubt. To record what you find out: omnichat-ledger settle --help")
    return 0


def _settle(database: SqlDatabase, arguments: Namespace) -> int:
    rows = _rows_to_settle(LedgerAudit(database, arguments.table), arguments)
    was_sent = arguments.settle_as == "sent"
    _print_rows(rows[:_SHOWN_ROWS], mask_number)
    if len(rows) > _SHOWN_ROWS:
        print(f"  and {len(rows) - _SHOWN_ROWS:,} more")
    is_undone = arguments.settle_as == "in-doubt"
    what = "sent, and never send them again" if was_sent else "not sent, and let the next try send them"
    what = "in doubt again" if is_undone else what
    if not _is_confirmed(f"\nSettle {_invites(len(rows))} as {what}?", arguments.yes):
        return 1
    if len(arguments.why.strip()) < SHORTEST_WHY:
        raise ValueError(
            f"--why must have {SHORTEST_WHY} letters: say how you know; it is kept, and nobody can ask you later"
        )
    by, recipients = arguments.by or getpass.getuser(), [row.recipient for row in rows]
    now = Settlement(was_sent, by, arguments.why, datetime.now(UTC))
    with closing(LedgerAdmin(database, arguments.table)) as admin:
        if is_undone:
            refused = admin.undo(arguments.campaign, recipients, by)
        else:
            known = dict.fromkeys(recipients, now)
            refused = admin.settle(arguments.campaign, known, no_try_runs=arguments.no_task_runs)
    names = {row.recipient: row.row_key or mask_number(row.recipient) for row in rows}
    for recipient, why in refused.items():
        print(one_line(f"{names[recipient]} {why}"), file=sys.stderr)
    print(f"\n{_invites(len(rows) - len(refused))} settled as {arguments.settle_as.replace('-', ' ')}.")
    if refused:
        print(f"{_invites(len(refused))} not settled, see above.", file=sys.stderr)
    return 1 if refused else 0


def _rows_to_settle(audit: LedgerAudit, arguments: Namespace) -> list[LedgerRow]:
    found: dict[str, LedgerRow] = {}
    for key in arguments.row_key or ():
        rows = audit.find(arguments.campaign, key)
        if len(rows) != 1:
            how = "is not in the campaign" if not rows else f"belongs to {len(rows)} numbers; name the number"
            raise ValueError(f"The row key {key!r} {how}")
        found[rows[0].recipient] = rows[0]
    for given in arguments.number or ():
        number = _identity(given)
        rows = [row for row in audit.rows(arguments.campaign, search=number) if row.recipient == number]
        if not rows:
            raise ValueError(f"{mask_number(number)} is not in the campaign")
        found[number] = rows[0]
    if arguments.reason is not None:
        by_reason = defaultdict[str, dict[str, LedgerRow]](dict)
        for row in audit.doubts(arguments.campaign):
            by_reason[_reason_code(row.outcome, row.reason_code)][row.recipient] = row
        if arguments.reason not in by_reason:
            raise ValueError(
                f"Nobody of the campaign is in doubt for the reason {arguments.reason!r}; the reasons are:"
                f" {', '.join(sorted(by_reason)) or 'none'}"
            )
        found |= by_reason[arguments.reason]
    if not found:
        raise ValueError("Say who: --row-key, --number or --reason")
    return list(found.values())


def _forget(database: SqlDatabase, arguments: Namespace) -> int:
    number = _identity(arguments.number)
    rows = LedgerAudit(database, arguments.table).about(number)
    campaigns = [row["campaign"] for row in rows if row["recipient"] == number]
    if not campaigns:
        print(f"{mask_number(number)} is not in the ledger.")
        return 0
    _print_table(("CAMPAIGN",), [[campaign] for campaign in campaigns])
    if not _is_confirmed(f"\nErase {mask_number(number)} from {len(campaigns)} campaigns?", arguments.yes):
        return 1
    with closing(LedgerAdmin(database, arguments.table)) as admin:
        count = admin.forget(number)
    print(
        f"\n{mask_number(number)} is erased from {count} rows. New campaigns do not know it: put it on the opt-out list"
        " if the person must get nothing more."
    )
    return 0


def _export(database: SqlDatabase, arguments: Namespace) -> int:
    rows = LedgerAudit(database, arguments.table).about(_identity(arguments.number))
    text = json.dumps(rows, default=str, ensure_ascii=False, indent=2)
    # A terminal would obey these.
    print(re.sub("[\x7f-\x9f\u2028\u2029]", lambda found: f"\\u{ord(found.group()):04x}", text))
    return 0


def _prune(database: SqlDatabase, arguments: Namespace) -> int:
    before = datetime.now(UTC) - arguments.older_than
    campaigns = LedgerAudit(database, arguments.table).campaigns(before)
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
        _print_table(("LAST", "INVITES", "IN DOUBT", "CAMPAIGN", ""), rows, right=[1, 2])
    if not due:
        print(f"Nothing to delete: no campaign{' without doubts' if doubtful else ''} is that old.")
        return 0
    invites = _invites(sum(each.invites for each in due))
    question = f"\nDelete {invites} of {len(due)} campaigns? A later run of them invites these people again."
    if not _is_confirmed(question, arguments.yes):
        return 1
    with closing(LedgerAdmin(database, arguments.table)) as admin:
        count = admin.prune([each.campaign for each in due], before)
    print(f"\n{_invites(count)} deleted.")
    return 0


def _upgrade(database: SqlDatabase, arguments: Namespace) -> int:
    kind = ResultSchema if arguments.kind == ResultSchema.kind else SqlTable
    name = f"{arguments.kind} table {arguments.table}"
    with closing(TableUpgrade(database, kind(arguments.table, database.dialect, database.placeholder))) as table:
        statements = table.statements()
        if not statements:
            print(f"The {name} has every column; nothing to do.")
            return 0
        print("".join(f"{statement};\n" for statement in statements))  # so that somebody else can run them, too
        if not _is_confirmed(f"Run these on the {name}?", arguments.yes):
            return 1
        table.run()
    print(f"The {name} has every column now.")
    return 0


_COMMANDS: dict[str, Callable[[SqlDatabase, Namespace], int]] = {
    "campaigns": _campaigns,
    "status": _status,
    "doubts": _doubts,
    "settle": _settle,
    "forget": _forget,
    "export": _export,
    "prune": _prune,
    "upgrade": _upgrade,
}


def _no_such_campaign(arguments: Namespace) -> str:
    return (
        f"There are no invites of the campaign {arguments.campaign!r} in the table {arguments.table}. The campaign of a"
        " task that names none is dag/run/task, followed by # and the resend_key if there is one"
    )


def _print_rows(rows: Iterable[LedgerRow], shown: Callable[[str], str]) -> None:
    table = [
        (
            row.row_key,
            _number(row, shown),
            label_of(row.outcome),
            f"{row.claimed_at:%Y-%m-%d %H:%M:%S}",
            _reason_code(row.outcome, row.reason_code),
            row.claimed_by,
        )
        for row in rows
    ]
    _print_table(("ROW KEY", "NUMBER", "OUTCOME", "CLAIMED AT (UTC)", "REASON", "BY"), table)


def _reason_code(outcome: str, code: str | None) -> str:
    """Return why an invite ended so; an open claim has a reason only if it was in doubt before."""
    return code or (ReasonCode.CLAIM_NEVER_ENDED.value if outcome == CLAIMED else "")


def _number(row: LedgerRow, shown: Callable[[str], str]) -> str:
    return "(forgotten)" if row.is_forgotten else shown(row.recipient)


def _invites(count: int) -> str:
    return f"{count:,} invite{'' if count == 1 else 's'}"


def _identity(given: str) -> str:
    # A number that its country has withdrawn may still be in the ledger: digits alone are taken as they are.
    is_international = (
        given.isascii() and given.isdigit() and not given.startswith("0") and len(given) >= _SHORTEST_NUMBER_DIGITS
    )
    return identity_of(given if is_international else normalise_number(given))


def _print_table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Print columns side by side; those in *right* are aligned to the right, as numbers are."""
    lines = [list(heads), *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print(("  " + "  ".join(cells)).rstrip())


def _is_confirmed(question: str, yes: bool) -> bool:
    """Return whether to change something; without ``--yes`` a person in a terminal is asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        print("Nothing was changed. With --yes it is.", file=sys.stderr)
        return False
    if input(f"{question} [y/N] ").strip().lower() in ("y", "yes"):
        return True
    print("Nothing was changed.", file=sys.stderr)
    return False


def _cell(cell: object) -> str:
    text = " ".join(one_line(str("" if cell is None else cell)).split())
    return text if len(text) <= _CELL_WIDTH else text[: _CELL_WIDTH - 1] + "…"
