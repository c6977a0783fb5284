"""Tables as released versions made them, and those of this version in the same database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_omnichat import __version__
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.sql_table import SqlTable
from airflow_provider_omnichat.campaign.results.table import ResultSchema, ResultTable
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase, TableUpgrade
from airflow_provider_omnichat.campaign.sql.written_table import DIALECTS as DIALECTS_OF_LEDGERS
from airflow_provider_omnichat.campaign.sql.written_table import WrittenTable
from tests.support.result_rows import key_of
from tests.support.result_tables import DIALECTS
from tests.support.sql_connections import Database

FOLDER = Path(__file__).parents[1] / "campaign" / "sql" / "released"
VERSIONS = sorted(path.name for path in FOLDER.iterdir())
OLDEST = "0.1.0.dev1"
CAMPAIGN = "welcome"
SENT = "41793020001"
AT = "2026-07-30 12:00:00"

# What every version has filled in of a row, by kind.
ROWS: dict[str, dict[str, Any]] = {
    "ledger": {
        "campaign": CAMPAIGN,
        "recipient": SENT,
        "outcome": "accepted",
        "attempts": 1,
        "claimed_by": "dag/run/task",
        "claim_id": "0" * 32,
        "claimed_at": AT,
        "ended_at": AT,
    },
    "results": {
        "batch": CAMPAIGN,
        "list_row": 1,
        "recipient": SENT,
        "outcome": "accepted",
        "attempts": 1,
        "ended_at": AT,
        "try_id": "1-ab",
    },
}
NAMES = {"ledger": "omnichat_invites", "results": "omnichat_results"}


def snapshots() -> dict[str, str]:
    """The tables of this version, by file name."""
    made: list[tuple[type[SqlTable | ResultSchema], tuple[str, ...]]] = [
        (SqlTable, DIALECTS_OF_LEDGERS),
        (ResultSchema, (*DIALECTS_OF_LEDGERS, "duckdb")),
    ]
    return {
        f"{kind.kind}.{dialect}.sql": kind(NAMES[kind.kind], dialect, "?").create() + ";\n"  # type: ignore[arg-type]
        for kind, dialects in made
        for dialect in dialects
    }


@dataclass
class ReleasedTable:
    """
    One table, made by a released version.

    :param database: where it is.
    :param kind: ``ledger`` or ``results``.
    :param name: as a task names it.
    :param version: which one; None for this one.
    """

    database: Database
    kind: str
    name: str
    version: str | None = OLDEST

    @property
    def dialect(self) -> Any:
        return DIALECTS[self.database.driver]

    @property
    def sql(self) -> WrittenTable:
        made = SqlTable if self.kind == "ledger" else ResultSchema
        return made(self.name, self.dialect, self.database.placeholder)

    @property
    def written(self) -> str:
        """The name as a statement has it."""
        return self.sql.probe().partition(" FROM ")[2].split()[0]

    @property
    def create(self) -> str:
        if self.version is None:
            return self.sql.create()
        snapshot = (FOLDER / self.version / f"{self.kind}.{self.dialect}.sql").read_text().strip().rstrip(";")
        old, new = (
            made.create().partition("(")[0]
            for made in (type(self.sql)(NAMES[self.kind], self.dialect, "?"), self.sql)  # type: ignore[call-arg]
        )
        assert snapshot.startswith(old)
        return new + snapshot.removeprefix(old)

    def make(self) -> ReleasedTable:
        self.database.run(self.create)
        return self

    def insert(self, **changed: Any) -> None:
        """Insert a row as every version can."""
        row = ROWS[self.kind] | changed
        self.database.run(
            f"INSERT INTO {self.written} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values()
        )

    def columns(self) -> list[tuple[str, Any]]:
        """Every column's name and type, as the driver describes them."""
        connection = self.database.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(f"SELECT * FROM {self.written} WHERE 1 = 0")
            described = sorted((column[0], column[1]) for column in cursor.description)
            cursor.fetchall()
        finally:
            connection.close()
        return described

    def ledger(self, wrapped: Any = lambda connection: connection) -> SqlLedger:
        known = SqlDatabase(
            lambda: wrapped(self.database.connect()), self.dialect, self.database.placeholder, "warehouse"
        )
        return SqlLedger(known, CAMPAIGN, "dag/run/task", self.name)

    def results(self, wrapped: Any = lambda connection: connection) -> ResultTable:
        known = SqlDatabase(
            lambda: wrapped(self.database.connect()), self.dialect, self.database.placeholder, "warehouse"
        )
        return ResultTable(known, self.name, batch=CAMPAIGN, try_number=1, recipient_of=key_of)

    def upgrade(self, wrapped: Any = lambda connection: connection) -> TableUpgrade:
        known = SqlDatabase(
            lambda: wrapped(self.database.connect()), self.dialect, self.database.placeholder, "warehouse"
        )
        return TableUpgrade(known, self.sql)


if __name__ == "__main__":  # at a release
    (FOLDER / __version__).mkdir(exist_ok=True)
    for file_name, statement in snapshots().items():
        (FOLDER / __version__ / file_name).write_text(statement)
