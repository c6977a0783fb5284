"""What the tab says of delivery: of every kind of place, and of one that cannot keep it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from airflow_provider_omnichat.api.outcomes import Delivery, Outcome
from airflow_provider_omnichat.campaign.ledger.interface import Entry
from airflow_provider_omnichat.campaign.ledger.place import LedgerPlace
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.model.delivery import FinalStatus
from airflow_provider_omnichat.campaign.model.place import Place
from airflow_provider_omnichat.campaign.results.files import ResultFiles
from airflow_provider_omnichat.campaign.results.table import ResultTable
from airflow_provider_omnichat.hooks.databases import ledger_database
from airflow_provider_omnichat.plugins.invites import delivery
from airflow_provider_omnichat.plugins.invites.delivery import delivery_of
from tests.support.lines_place import BareLines
from tests.support.plugin_tasks import sending
from tests.support.result_rows import give, made
from tests.support.sql_claims import CAMPAIGN, answer_of, claims_of

ENDS = (Delivery.DELIVERED, Delivery.DELIVERED, Delivery.UNDELIVERABLE, Delivery.UNKNOWN)
ACCEPTED = 6


@pytest.fixture(autouse=True)
def ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fields = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(fields))


def in_ledger(_: Path) -> Place:
    made = SqlLedger(ledger_database("ledger"), CAMPAIGN, "invites/run/invite")
    claims = claims_of(ACCEPTED)
    made.claim(claims, ())
    made.record(
        {claim.recipient: Entry.now(Outcome.ACCEPTED)._replace(answer=answer_of(claim.identity)) for claim in claims}
    )
    made.flush()
    made.close()
    return LedgerPlace(ledger_database("ledger"), CAMPAIGN, "invites/run/invite")


def written(place: Place) -> Place:
    place.earlier()
    place.write(give(*(made(at, message_id=f"m{at}") for at in range(1, ACCEPTED + 1))))
    place.close(whole=True)
    return place


def in_table(_: Path) -> Place:
    return written(ResultTable(ledger_database("ledger"), "invites", batch="b", recipient_of=str))


def in_files(folder: Path, format: Literal["jsonl", "csv"]) -> Place:
    return written(ResultFiles(folder / "results", format=format, try_number=1, owner="b", recipient_of=str))


KINDS: dict[str, Callable[[Path], Place]] = {
    "ledger": in_ledger,
    "table": in_table,
    "jsonl": lambda folder: in_files(folder, "jsonl"),
    "csv": lambda folder: in_files(folder, "csv"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_place_says_what_was_delivered_and_what_it_cost(kind: str, tmp_path: Path) -> None:
    place, task = KINDS[kind](tmp_path), sending(counts={"accepted": ACCEPTED})
    assert task is not None
    before = delivery_of([(task, place)])
    assert before is not None
    assert (before.accepted, before.counts, before.costs, before.problem) == (ACCEPTED, {}, {}, "")
    kept = place.deliveries()
    final = [
        FinalStatus(invite, end, 5, "NAME", datetime.now(UTC), Decimal("0.05") if at else None, "EUR" if at else None)
        for at, (invite, end) in enumerate(zip(list(kept.unfinished()), ENDS, strict=False))
    ]
    kept.record(final)
    if kind in ("ledger", "table"):
        kept.record(final)  # the same ones may come again
    place.close()
    after = delivery_of([(task, place)])
    assert after is not None
    assert after.counts == {Delivery.DELIVERED: 2, Delivery.UNDELIVERABLE: 1, Delivery.UNKNOWN: 1}
    assert after.costs == {"EUR": Decimal("0.15")}
    both = delivery_of([(task, place), (task, place)])
    assert both is not None
    assert (both.accepted, both.costs) == (2 * ACCEPTED, {"EUR": Decimal("0.30")})


def test_a_kind_that_cannot_keep_it_is_named(tmp_path: Path) -> None:
    task = sending(counts={"accepted": 1})
    assert task is not None
    found = delivery_of([(task, BareLines(str(tmp_path / "rows.lines")))])
    assert found is not None
    assert "A place of the kind 'lines' cannot keep final statuses" in found.problem


def test_so_many_files_are_not_read_for_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_MOST_IN_FILES", 5)
    monkeypatch.setattr("airflow_provider_omnichat.campaign.results.file_pages._MOST_SORTED_BYTES", 0)
    task = sending(counts={"accepted": ACCEPTED})
    assert task is not None
    found = delivery_of([(task, in_files(tmp_path, "jsonl"))])
    assert found is not None
    assert "not counted here" in found.problem


def test_nothing_accepted_has_no_delivery(tmp_path: Path) -> None:
    task = sending(counts={"rejected": 1})
    assert task is not None
    assert delivery_of([(task, BareLines(str(tmp_path / "rows.lines")))]) is None
