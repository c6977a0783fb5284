"""The command ``upgrade``: adds to a table of an older version the columns it lacks."""

from __future__ import annotations

import argparse
from contextlib import closing

from airflow_provider_omnichat.campaign.ledger.sql_statements import SqlTable
from airflow_provider_omnichat.campaign.results.table_statements import ResultTableSql
from airflow_provider_omnichat.campaign.sql.upgrade import TableUpgrade
from airflow_provider_omnichat.cli.output import is_confirmed
from airflow_provider_omnichat.hooks.databases import ledger_database, result_database


class UpgradeCommand:
    """The command on one table; see :class:`.ledger_commands.LedgerCommands`."""

    def __init__(self, table: TableUpgrade) -> None:
        self._table = table

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> UpgradeCommand:
        """Find the table's database."""
        is_ledger = arguments.kind == SqlTable.kind
        database = (ledger_database if is_ledger else result_database)(arguments.conn_id)
        kind = SqlTable if is_ledger else ResultTableSql
        return cls(TableUpgrade(database, kind(arguments.table, database.dialect, database.placeholder)))

    def run(self, _: str, arguments: argparse.Namespace) -> int:
        """Print the statements, so that somebody else can run them, too, and run them once that is confirmed."""
        name = f"{arguments.kind} table {arguments.table}"
        with closing(self._table) as table:
            statements = table.statements()
            if not statements:
                print(f"The {name} has every column; nothing to do.")
                return 0
            print("".join(f"{statement};\n" for statement in statements))
            if not is_confirmed(f"Run these on the {name}?", arguments.yes):
                return 1
            table.run()
        print(f"The {name} has every column now.")
        return 0
