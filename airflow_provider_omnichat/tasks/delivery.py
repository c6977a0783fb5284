"""From what a sensor is given to the places of the invites that it follows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.campaign.ledger.place import LedgerPlace
from airflow_provider_omnichat.campaign.model.delivery import Deliveries, FinalStatus, SentInvite
from airflow_provider_omnichat.campaign.model.place import Place, PlaceError, UnwrittenPlace
from airflow_provider_omnichat.campaign.model.sentences import sentences
from airflow_provider_omnichat.tasks.places import place_at

_TAKES = (
    "invites takes a message id, a list of them, or the output of a task that sent, as invites=send.output (an XComArg)"
)


class GivenMessages(UnwrittenPlace):
    """Message ids without rows: their statuses are only counted. One that is given twice counts once."""

    kind = "messages"
    location = "the given message ids"

    def __init__(self, message_ids: Sequence[str]) -> None:
        self._unfinished = dict.fromkeys(message_ids)
        self._counts: Counter[Delivery] = Counter()
        self._costs: dict[str, Decimal] = defaultdict(Decimal)

    def deliveries(self) -> Deliveries:
        return self

    def unfinished(self) -> Iterator[SentInvite]:
        return iter([SentInvite(message_id, None) for message_id in self._unfinished])

    def record(self, statuses: Sequence[FinalStatus]) -> None:
        for status in statuses:
            del self._unfinished[status.invite.message_id]
            self._counts[status.delivery] += 1
            if status.price:
                self._costs[status.currency or ""] += status.price

    def counts(self) -> Mapping[Delivery, int]:
        return self._counts

    def costs(self) -> Mapping[str, Decimal]:
        return self._costs


@contextmanager
def followed_places(
    invites: Any, campaign: str | None, ledger_conn_id: str | None, ledger_table: str
) -> Iterator[list[Place]]:
    """Find the places of invites, and close them at the end; AirflowFailException if they cannot be followed."""
    places: list[Place] = []
    try:
        if campaign and ledger_conn_id:
            ledger = {"conn_id": ledger_conn_id, "table": ledger_table, "campaign": campaign, "owner": None}
            places.append(place_at({"kind": LedgerPlace.kind, **ledger}))
        else:
            places.extend(_places_of(invites))
        yield places
    except PlaceError as error:
        raise AirflowFailException(sentences(str(error))) from None
    finally:
        for place in places:
            place.close()


def _places_of(invites: Any) -> Iterator[Place]:
    is_one = isinstance(invites, str | Mapping)
    if not is_one and not isinstance(invites, Iterable):
        raise AirflowFailException(f"{_TAKES}; not a {type(invites).__name__}")
    ids: list[str] = []
    for given in [invites] if is_one else invites:
        if isinstance(given, Mapping) and "rows_in" in given:
            if given["counts"]["accepted"]:
                yield place_at(given["rows_in"])
        else:
            ids.append(_message_id(given))
    if ids:
        yield GivenMessages(ids)


def _message_id(given: Any) -> str:
    found = given.get("messageId") if isinstance(given, Mapping) else given
    if not isinstance(found, str):
        kind = "without a messageId" if isinstance(given, Mapping) else f"that is a {type(given).__name__}"
        raise AirflowFailException(f"{_TAKES}; one is given {kind}")
    if found.lstrip()[:1] in {"{", "["}:
        raise AirflowFailException(f"{_TAKES}; a template turns what it is given into text")
    return found
