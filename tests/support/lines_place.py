"""A kind of place that the package does not have: one JSON-lines file, named by a results_path that ends in .lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow_provider_omnichat.api.outcomes import Delivery, Outcome
from airflow_provider_omnichat.campaign.model.delivery import Deliveries, FinalStatus, SentInvite
from airflow_provider_omnichat.campaign.model.pages import Page, PageQuery, ShownRow
from airflow_provider_omnichat.campaign.model.place import DECIDED, Place
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.tasks.places import Batch, Kind, RowsIn


class BareLines(Place):
    """What every place must be able to do, and nothing else."""

    kind = "lines"

    def __init__(self, path: str, recipient_of: Callable[[str], str] = str) -> None:
        self._path = Path(path)
        self._deliveries = Path(f"{path}.deliveries")
        self._recipient_of = recipient_of

    @property
    def location(self) -> str:
        return str(self._path)

    def rows_in(self) -> Mapping[str, str]:
        return {"kind": self.kind, "path": self.location}

    def earlier(self) -> Mapping[str, Outcome]:
        decided = [row for row in read(self._path) if row["outcome"] in DECIDED]
        return {self._recipient_of(row["to"]): Outcome(row["outcome"]) for row in decided}

    def write(self, results: Sequence[tuple[str | None, Result]]) -> None:
        with self._path.open("a") as file:
            for _, result in results:
                row = {"row": result.position, "to": result.to, "outcome": result.outcome.value, "at": result.at}
                file.write(json.dumps({**row, "key": result.key, "message_id": result.message_id}) + "\n")


class Lines(BareLines):
    """The same with all that the tab and the sensor ask for."""

    def page(self, query: PageQuery) -> Page:
        rows = [row for row in read(self._path) if query.outcome in (None, row["outcome"])]
        shown = [
            ShownRow(row["key"], row["row"], row["to"], row["outcome"], message_id=row["message_id"]) for row in rows
        ]
        end = query.skipped + query.size
        return Page(shown[query.skipped : end], str(end) if end < len(shown) else None)

    def deliveries(self) -> Deliveries:
        return self

    def unfinished(self) -> Iterator[SentInvite]:
        known = {row["message_id"] for row in read(self._deliveries)}
        for row in read(self._path):
            if row["message_id"] and row["message_id"] not in known:
                yield SentInvite(row["message_id"], datetime.fromisoformat(row["at"]), row["row"])

    def record(self, statuses: Sequence[FinalStatus]) -> None:
        with self._deliveries.open("a") as file:
            for status in statuses:
                row = {"message_id": status.invite.message_id, "delivery": status.delivery.value}
                file.write(json.dumps(row) + "\n")

    def counts(self) -> Mapping[Delivery, int]:
        return Counter(Delivery(row["delivery"]) for row in read(self._deliveries))

    def costs(self) -> Mapping[str, Decimal]:
        return {}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def kind_of(made: type[BareLines]) -> Kind:
    def describe(batch: Batch) -> RowsIn | None:
        path = batch.argument("results_path") or ""
        return {"kind": made.kind, "path": path} if path.endswith(".lines") else None

    def open_place(rows_in: RowsIn, batch: Batch | None) -> Place:
        return made(rows_in["path"], batch.recipient_of) if batch else made(rows_in["path"])

    return Kind(describe, open_place)
