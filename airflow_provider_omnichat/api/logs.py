"""
The vendor's SMS logs (``GET /sms/3/logs``): what became of messages, as often as one asks.

It is not documented that these logs contain invites of the OMNI Chat API, nor how soon they have a message, so a miss
says nothing. The vendor's reports (``/sms/1/reports``, ``/sms/3/reports``) are never read: each is given once, and
would be missing elsewhere.

https://www.infobip.com/docs/api/channels/sms/logs-and-status-reports/get-outbound-sms-message-logs-v3
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import combinations
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.api.errors import IdsIgnoredError, InviteNotSentError, SmsLogsError, TransportError
from airflow_provider_omnichat.api.hints import HTTP_HINTS
from airflow_provider_omnichat.api.models import Status, as_int, as_text
from airflow_provider_omnichat.api.outcomes import REJECTED_DUPLICATE, Delivery
from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.api.wire import LARGEST_BODY, HttpRequest, HttpResponse, read_error_body

REQUESTS_A_MINUTE = 120  # the vendor's limit for an account
REACH = timedelta(hours=48)  # how far back the logs go
LONGEST_FILTER_CHARACTERS = 2048  # of the message ids of one request with the commas between them
# Half of the vendor's maximum: an answer with long texts stays below the largest body that is read.
ROWS_A_PAGE = 500
_MOST_PAGES = 200
_PATIENCE_SECONDS = 300.0
_HINTS = {
    **HTTP_HINTS,
    **dict.fromkeys(range(200, 300), "the answer broke off or is too large"),
    403: (
        "reading the SMS logs needs the scope sms:logs:read (or sms:manage): add it to the API key or user in the"
        " vendor's portal; or these credentials are not allowed from this IP address"
    ),
    404: "this host has no SMS logs; check the host of the connection",
    429: "",  # there is no invite of which to say that it was not sent
}


class LoggedMessage(NamedTuple):
    """One row of the logs; its ``repr`` masks the number. What the vendor did not give is None."""

    message_id: str
    destination: str | None
    status: Status
    sent_at: datetime | None
    done_at: datetime | None
    price: Decimal | None
    currency: str | None

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> LoggedMessage:
        """Read leniently: a field of the wrong type counts as missing."""
        status, price = row.get("status"), row.get("price")
        price = price if isinstance(price, dict) else {}
        return cls(
            message_id=str(row["messageId"]),
            destination=as_text(row.get("destination")),
            status=Status.from_json(status if isinstance(status, dict) else {}),
            sent_at=_as_moment(row.get("sentAt")),
            done_at=_as_moment(row.get("doneAt")),
            price=_whole_price(price.get("pricePerMessage"), as_int(row.get("messageCount"))),
            currency=as_text(price.get("currency")),
        )

    @property
    def is_repeat(self) -> bool:
        """Whether the vendor refused it, because a message with this id was taken before."""
        return self.status.id == REJECTED_DUPLICATE

    def __repr__(self) -> str:
        number = mask_number(self.destination or "")
        return f"LoggedMessage(message_id={self.message_id!r}, destination={number!r}, status={self.status!r})"


@dataclass
class RequestLimit:
    """Keeps to the vendor's limit of requests within any stretch of time."""

    requests: int = REQUESTS_A_MINUTE
    seconds: float = 60.0
    clock: Callable[[], float] = monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def __post_init__(self) -> None:
        self._answered: deque[float] = deque(maxlen=self.requests)

    async def wait(self) -> None:
        """Wait until another request may leave."""
        if len(self._answered) == self.requests:
            left = self._answered[0] + self.seconds - self.clock()
            if left > 0:
                await self.sleep(left)

    def count(self) -> None:
        """Count a request, once it is answered: it has reached the vendor by then, and did not before it left."""
        self._answered.append(self.clock())


class SmsLogs:
    """
    Reads the logs of one account, one request after the other and within the vendor's limit.

    Reading changes nothing, so what fails for a time is asked again for five minutes; then :class:`SmsLogsError`.
    """

    def __init__(
        self, client: AsyncOmnichatClient, limit: RequestLimit | None = None, backoff: Backoff | None = None
    ) -> None:
        self._client = client
        self._limit = limit or RequestLimit()
        self._backoff = backoff or Backoff(budget=_PATIENCE_SECONDS, first=1.0)
        #: Message ids that cannot be asked for: blank, longer than the filter, or with a comma in them.
        self.not_asked: list[str] = []

    async def by_message_ids(self, message_ids: Iterable[str]) -> AsyncIterator[LoggedMessage]:
        """Read what became of any number of messages, leaving out those that are not in the logs."""
        for ids in pack(message_ids, self.not_asked):
            for rows in (await self.rows_of(ids)).values():
                for first in [row for row in rows if not row.is_repeat][:1]:
                    yield first

    async def rows_of(self, message_ids: Sequence[str]) -> Mapping[str, Sequence[LoggedMessage]]:
        """Read all rows of as many ids as one request takes; raise IdsIgnoredError if one was delivered again."""
        found: dict[str, list[LoggedMessage]] = {}
        seconds = self._client.account.repeat_seconds
        async with aclosing(self._pages({"messageId": ",".join(message_ids)})) as pages:
            async for page in pages:
                for message in page:
                    found.setdefault(message.message_id, []).append(message)
                if seconds is None and set(message_ids) <= found.keys():
                    break  # a further page could hold nothing new, and would count against the limit
        if seconds is not None and (twice := sum(_were_delivered_twice(rows, seconds) for rows in found.values())):
            raise IdsIgnoredError(twice)
        return {each: found[each] for each in message_ids if each in found}

    async def are_final(self, message_ids: Iterable[str]) -> bool:
        """Return whether all messages have a final status."""
        waiting = set(message_ids)
        async for message in self.by_message_ids(list(waiting)):
            if message.status.delivery.is_final:
                waiting.discard(message.message_id)
        return not waiting

    async def by_destination(
        self, numbers: Iterable[str], since: datetime, until: datetime
    ) -> AsyncIterator[LoggedMessage]:
        """Read what was sent to numbers, one request for each: the filter is documented for one number."""
        period = {"sentSince": _as_filter(since), "sentUntil": _as_filter(until)}
        for number in numbers:
            async for page in self._pages({"destination": number, **period}, hidden=(number,)):
                for message in page:
                    yield message

    async def _pages(
        self, filters: Mapping[str, str], hidden: tuple[str, ...] = ()
    ) -> AsyncGenerator[list[LoggedMessage]]:
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = {**filters, "limit": str(ROWS_A_PAGE), "useCursor": "true"}
            rows, following = _page_of(await self._get(page if cursor is None else {**page, "cursor": cursor}, hidden))
            yield [LoggedMessage.from_json(row) for row in rows if isinstance(row, dict) and row.get("messageId")]
            if not rows or not following:
                return
            if following == cursor:
                break
            cursor = following
        raise SmsLogsError("The SMS logs cannot be read: the vendor's pages do not end; ask the vendor's support")

    async def _get(self, filters: Mapping[str, str], hidden: tuple[str, ...]) -> HttpResponse:
        query = urlencode(filters, quote_via=quote, safe=",")
        request = HttpRequest("GET", f"/sms/3/logs?{query}", {"Accept": "application/json"})
        began, attempt = self._limit.clock(), 0
        while True:
            attempt += 1
            await self._limit.wait()
            try:
                response = await self._client.exchange(request)
                if 200 <= response.status < 300 and response.body is not None:
                    return response
                error = self._refusal(response, hidden)
            except TransportError as failure:
                error = _unreadable(failure.problem, retryable=True)
            except InviteNotSentError as failure:  # no access token
                facts = failure.http_status, failure.retryable, failure.retry_after
                error = _unreadable(str(failure.reason), *facts)
            finally:
                self._limit.count()
            wait = self._backoff.delay(attempt, self._limit.clock() - began, error.retry_after)
            if not error.retryable or wait is None:
                raise error
            await self._limit.sleep(wait)

    def _refusal(self, response: HttpResponse, hidden: tuple[str, ...]) -> SmsLogsError:
        status = response.status
        said = ": ".join(filter(None, read_error_body(response, (*hidden, *self._client.secrets))))
        hint = _HINTS.get(status)
        text = f"HTTP {status}" + (f" {said}" if said else "") + (f" ({hint})" if hint else "")
        may_pass = status < 300 or status in {408, 425, 429} or status >= 500
        return _unreadable(text, status, may_pass, response.retry_after)


def _were_delivered_twice(rows: Sequence[LoggedMessage], seconds: float) -> bool:
    """Return whether two messages with one id were delivered that were sent within so many seconds."""
    times = [row.sent_at for row in rows if row.status.delivery is Delivery.DELIVERED]
    return any(
        one is None or other is None or abs((one - other).total_seconds()) <= seconds
        for one, other in combinations(times, 2)
    )


def can_be_asked(message_id: str) -> bool:
    """Return whether the filter takes a message id: not blank, without a comma, no longer than the filter."""
    return bool(message_id.strip()) and "," not in message_id and _length(message_id) <= LONGEST_FILTER_CHARACTERS


def _length(message_id: str) -> int:
    return len(quote(message_id, safe=""))


def pack(message_ids: Iterable[str], not_asked: list[str]) -> Iterator[list[str]]:
    """Pack message ids into as few requests as possible; those that cannot be asked for are added to *not_asked*."""
    packed: dict[str, None] = {}
    left = LONGEST_FILTER_CHARACTERS + 1
    for message_id in message_ids:
        length = _length(message_id) + 1
        if not can_be_asked(message_id):
            not_asked.append(message_id)
            continue
        if message_id in packed:
            continue
        if length > left or len(packed) == ROWS_A_PAGE:
            yield list(packed)
            packed.clear()
            left = LONGEST_FILTER_CHARACTERS + 1
        packed[message_id] = None
        left -= length
    if packed:
        yield list(packed)


def _page_of(response: HttpResponse) -> tuple[list[Any], str | None]:
    problem = "the body has no list of results"
    try:
        body = response.json(LARGEST_BODY)
    except ValueError as error:
        body, problem = None, str(error)
    rows = body.get("results") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise _unreadable(f"HTTP {response.status}, but {problem}; is this the vendor's host?", response.status)
    cursor = body.get("cursor")
    return rows, as_text(cursor.get("nextCursor")) if isinstance(cursor, dict) else None


def _unreadable(
    what: str, http_status: int | None = None, retryable: bool = False, retry_after: float | None = None
) -> SmsLogsError:
    return SmsLogsError(f"The SMS logs cannot be read: {what}", http_status, retryable, retry_after)


def _as_filter(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone can be read in several ways; give one with a time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def _as_moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _whole_price(per_message: object, count: int | None) -> Decimal | None:
    if count is None or isinstance(per_message, bool) or not isinstance(per_message, int | float | str):
        return None
    try:
        price = Decimal(str(per_message))
    except InvalidOperation:
        return None
    return price * count if price.is_finite() else None
