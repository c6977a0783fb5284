"""Where ledgers of each kind live from try to try, and what tests leave in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.models import InviteAnswer
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
from airflow_provider_omnichat.campaign.ledger.frequency_cap import CappedLedger, FrequencyCap
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry, Ledger, Settlement
from airflow_provider_omnichat.campaign.ledger.retake import Retake, claim
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.task_state import StateStoreLedger
from airflow_provider_omnichat.campaign.ledger.task_state_journal import StateStoreJournal
from tests.support.reasons import why
from tests.support.sql_servers import Target
from tests.support.sql_spies import Spied
from tests.support.state_store import Store
from tests.support.wire_server import ACCEPTED

NUMBERS = [f"4179{2_000_000 + i}" for i in range(8)]
ROOMY = FrequencyCap(100, timedelta(days=1))
NEVER_ENDED = "An earlier try was about to send this invite and ended before it could say how"
NOT_AGAIN = "It was to be sent again and was not: "


def accepted(to: str) -> InviteAnswer:
    return InviteAnswer.from_json({**ACCEPTED, "to": to})


def claims(numbers: Sequence[str]) -> list[Claim]:
    return [Claim(recipient_key("c", number), number) for number in numbers]


class Home:
    """
    Where a ledger lives, from try to try.

    :param kind: of the ledger.
    :param folder: for a database.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.store = Store()
        self._target = Target("sqlite", "sqlite3", {"database": str(folder / "ledger.sqlite")})
        self._failing = 0
        self._made: list[Ledger] = []

    def ledger(self, owner: str = "dag/run/task", campaign: str = "c") -> Ledger:
        """Open it, as a new try does."""
        if self.kind == "journal":
            made: Ledger = StateStoreJournal(self.store, campaign)
        elif self.kind == "state store":
            made = StateStoreLedger(self.store)
        else:
            sql = SqlLedger(self._target.database(self._spied), campaign, owner)
            made = CappedLedger(sql, ROOMY) if self.kind == "capped" else sql
        self._made.append(made)
        return made

    def fail_next_claim(self) -> None:
        """Let a claim fail before it arrives."""
        self._failing = 2  # a database gets a second chance, on a new connection
        if self.kind in ("journal", "state store"):
            real = self.store.set

            def fail(key: str, value: Any, **_: Any) -> None:
                if key.endswith(":count"):
                    return real(key, value)
                self.store.set = real  # type: ignore[method-assign]
                raise ConnectionError("no connection")

            self.store.set = fail  # type: ignore[method-assign]

    def known(self, numbers: Sequence[str] = NUMBERS) -> dict[str, Outcome | None]:
        """What another try finds, by number."""
        found = self.ledger().find(claims(numbers))
        return {one.identity: found[one.recipient].outcome for one in claims(numbers) if one.recipient in found}

    def settle_though_it_runs(self, number: str, settlement: Settlement) -> dict[str, str]:
        """What somebody does who says that no task runs, and is wrong."""
        return LedgerAdmin(self._target.database()).settle("c", {number: settlement}, no_try_runs=True)

    def close(self) -> None:
        for one in self._made:
            one.close()

    def _spied(self, connection: Any) -> Any:
        def refuse(sql: str, _: Any) -> None:
            if self._failing and "DO NOTHING" in sql:
                self._failing -= 1
                raise OSError("disk full")

        return Spied(connection, refuse)


LATE, OPEN, FREE, LAST = NUMBERS[:4]


def leave_doubts(home: Home) -> None:
    """Two that may have been sent: one of which no answer came, and one that a crash left open."""
    ledger = home.ledger()
    late, opened = claims([LATE, OPEN])
    ledger.claim([late, opened], CERTAINLY_NOT_SENT)
    ledger.record({late.recipient: Entry.now(Outcome.UNKNOWN, reason=why("no answer came."))})
    ledger.flush()


def leave_open(home: Home, numbers: Sequence[str]) -> None:
    """Take doubts again and end before it can be said how, as a killed worker does."""
    assert claim(home.ledger(), claims(numbers), Retake(resend=True)).taken == {}
