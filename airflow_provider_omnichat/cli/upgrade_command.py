"""The command ``upgrade``: adds to a table of an older version the columns it lacks."""

from __future__ import annotations

import argparse
from contextlib import closing

from airflow_provider_omnichat.campaign.ledger.sql_statements import SqlTable
from airflow_provider_omnichat.campaign.results.table_statements import ResultTableSql
from airflow_provider_omnichat.campaign.sql.upgrade import TableUpgrade
from airflow_provider_omnichat.cli.output import is_confirmed
from airflow_provider_omnichat.hooks.ledger_database import ledger_database
from airflow_provider_omnichat.hooks.result_database import result_database


class UpgradeCommand:
    """
    The command on one table.

    :param table: to be upgraded.
    """

    def __init__(self, table: TableUpgrade) -> None:
        self._table = table

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> UpgradeCommand:
        """
        Find the table's database.

        :param arguments: with ``conn_id``, ``table`` and ``kind``.
        """
        if arguments.kind == ResultTableSql.kind:
            results = result_database(arguments.conn_id)
            return cls(TableUpgrade(results, ResultTableSql(arguments.table, results.dialect, results.placeholder)))
        ledger = ledger_database(arguments.conn_id)
        return cls(TableUpgrade(ledger, SqlTable(arguments.table, ledger.dialect, ledger.placeholder)))

    def run(self, _: str, arguments: argparse.Namespace) -> int:
        """
        Print the statements, so that they can also be run by somebody else, and run them once that is confirmed.

        :param arguments: with ``table``, ``kind`` and ``yes``.
        :return: 0 when the table has every column, 1 when it does not.
        """
        with closing(self._table) as table:
            statements = table.statements()
            if not statements:
                print(f"The {arguments.kind} table {arguments.table} has every column; nothing to do.")
                return 0
            print("".join(f"{statement};\n" for statement in statements))
            if not is_confirmed(f"Run these on {arguments.table}?", arguments.yes):
                return 1
            table.run()
        print(f"The {arguments.kind} table {arguments.table} has every column now.")
        return 0
