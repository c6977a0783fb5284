"""A claim whose commit arrived although its answer did not is the same claim when it is made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, LedgerError
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from tests.support.ledger_homes import NUMBERS, claims
from tests.support.sql_servers import Target
from tests.support.sql_spies import Spied


class Breaks:
    """Breaks the connection behind so many commits."""

    def __init__(self, times: int) -> None:
        self.times = times

    def after_commit(self) -> None:
        if self.times:
            self.times -= 1
            raise ConnectionError("the answer got lost")


def ledger(path: Path, breaks: Breaks, owner: str = "dag/run/task") -> SqlLedger:
    target = Target("sqlite", "sqlite3", {"database": str(path)})
    return SqlLedger(target.database(lambda real: Spied(real, after_commit=breaks.after_commit)), "c", owner)


def test_it_is_won_when_it_is_asked_for_again(tmp_path):
    breaks = Breaks(2)  # a session tries once more by itself
    first = ledger(tmp_path / "l.sqlite", breaks)
    block = claims(NUMBERS[:3])
    with pytest.raises(LedgerError) as raised:
        first.claim(block, CERTAINLY_NOT_SENT)
    assert raised.value.is_outage
    assert first.claim(block, CERTAINLY_NOT_SENT) == {}
    other = ledger(tmp_path / "l.sqlite", Breaks(0), "dag/run/other")
    assert set(other.claim(block, CERTAINLY_NOT_SENT)) == {claim.recipient for claim in block}


def test_another_block_is_another_claim(tmp_path):
    breaks = Breaks(2)
    first = ledger(tmp_path / "l.sqlite", breaks)
    with pytest.raises(LedgerError):
        first.claim(claims(NUMBERS[:3]), CERTAINLY_NOT_SENT)
    taken = first.claim(claims(NUMBERS[:4]), CERTAINLY_NOT_SENT)
    assert set(taken) == {claim.recipient for claim in claims(NUMBERS[:3])}, "nobody knows whose these are"


def test_what_does_not_pass_by_itself_is_no_outage(tmp_path):
    (tmp_path / "l.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerError) as raised:
        ledger(tmp_path / "l.sqlite", Breaks(0)).claim(claims(NUMBERS[:1]), CERTAINLY_NOT_SENT)
    assert not raised.value.is_outage
