"""Final statuses of accepted invites, in the folder ``delivery`` beside the result files, which stay as they are."""

from __future__ import annotations

import csv
import io
import json
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from airflow_provider_omnichat.api.outcomes import Delivery, Outcome
from airflow_provider_omnichat.campaign.model.delivery import FinalStatus, SentInvite
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.directory import Directory, file_names, put_file, raise_file_error
from airflow_provider_omnichat.campaign.results.format import csv_line, uncell

COLUMNS = ("row", "message_id", "delivery", "status_id", "status_name", "delivered_at", "price", "currency")


class FileDeliveries:
    """The :class:`.Deliveries` of the results in a directory, which *read* reads."""

    def __init__(self, directory: Directory, read: Callable[[], Iterator[Result]]) -> None:
        self._directory = directory
        self._read_results = read
        self._folder: Directory = directory / "delivery"
        self._known: dict[str, Delivery] | None = None
        self._costs: dict[str, Decimal] = defaultdict(Decimal)

    def unfinished(self) -> Iterator[SentInvite]:
        known = self._read()
        for result in self._read_results():
            if result.outcome is Outcome.ACCEPTED and result.message_id and result.message_id not in known:
                yield SentInvite(result.message_id, datetime.fromisoformat(result.at), result.position)

    def record(self, statuses: Sequence[FinalStatus]) -> None:
        """See :class:`.Deliveries`; in the format of the result files."""
        ending = "csv" if any(name.format == "csv" for name in file_names(self._directory)) else "jsonl"
        # Each block in its own file: object storage cannot append. Rows are joined by message_id, and hold no number.
        path = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.{ending}"
        rows = [_values(each) for each in statuses]
        if ending == "csv":
            text = "".join(map(csv_line, [COLUMNS, *rows]))
        else:
            text = "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows)
        try:
            put_file(path, text.encode())
        except Exception as error:
            raise_file_error(path, "written", error)
        self._read()
        for each in statuses:
            self._add(each.invite.message_id, each.delivery, each.price, each.currency)

    def counts(self) -> Mapping[Delivery, int]:
        return Counter(self._read().values())

    def costs(self) -> Mapping[str, Decimal]:
        self._read()
        return dict(self._costs)

    def _read(self) -> dict[str, Delivery]:
        """Return what is known by message id; a line that a crash has torn is left out, and is asked for again."""
        if self._known is None:
            self._known = {}
            for path in self._files():
                try:
                    with path.open("rb") as file:
                        text = file.read().decode("utf-8", "replace")
                except Exception as error:
                    raise_file_error(path, "read", error)
                whole = text[: text.rfind("\n") + 1]
                is_csv = path.name.endswith(".csv")
                rows = csv.DictReader(io.StringIO(whole)) if is_csv else map(json.loads, whole.splitlines())
                for row in rows:
                    message_id = uncell(row["message_id"]) if is_csv else row["message_id"]
                    self._add(message_id, Delivery(row["delivery"]), row["price"], row["currency"])
        return self._known

    def _add(self, message_id: str, delivery: Delivery, price: str | Decimal | None, currency: str | None) -> None:
        assert self._known is not None, "they have been read"
        if price and message_id not in self._known:  # the same ones may come again
            self._costs[currency or ""] += Decimal(price)
        self._known[message_id] = delivery

    def _files(self) -> list[Any]:
        try:
            return list(self._folder.iterdir()) if self._folder.exists() else []
        except Exception as error:
            raise_file_error(self._folder, "listed", error)


def _values(status: FinalStatus) -> tuple[Any, ...]:  # in the order of COLUMNS
    return (
        status.invite.row,
        status.invite.message_id,
        status.delivery.value,
        status.status_id,
        status.status_name,
        None if status.done_at is None else status.done_at.astimezone(UTC).isoformat(),
        None if status.price is None else str(status.price),
        status.currency,
    )
