"""The SMS logs: what is asked for, how often, and what is made of the answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_omnichat.api import event_loop
from airflow_provider_omnichat.api.errors import IdsIgnoredError, SmsLogsError
from airflow_provider_omnichat.api.logs import LoggedMessage, RequestLimit, SmsLogs, pack
from airflow_provider_omnichat.api.outcomes import Delivery, delivery_of_status
from airflow_provider_omnichat.api.retry import Backoff
from airflow_provider_omnichat.sandbox import Sandbox, Settings
from tests.support.clocks import SkippingClock
from tests.support.example_invite import MESSAGE, NUMBER
from tests.support.wire_server import ACCEPTED, answer, then_close

SINCE = datetime(2026, 11, 1, 12, tzinfo=UTC)


def read(hook: Any, work: Any, clock: SkippingClock | None = None, **limits: Any) -> Any:
    clock = clock or SkippingClock()

    async def main() -> Any:
        async with hook.get_async_conn() as client:
            limit = RequestLimit(limits.get("requests", 120), 60.0, clock, clock.sleep)
            logs = SmsLogs(client, limit, Backoff(budget=limits.get("budget", 300.0), first=1.0))
            return await work(logs)

    return event_loop.run(main())


async def all_of(messages: Any) -> list[LoggedMessage]:
    return [message async for message in messages]


def by_ids(*ids: str) -> Any:
    return lambda logs: all_of(logs.by_message_ids(ids))


def page(*ids: str, cursor: str | None = None, **fields: Any) -> bytes:
    rows = [{"messageId": message_id, "status": {"groupId": 3, "id": 5}, **fields} for message_id in ids]
    return answer(200, {"results": rows, "cursor": {"limit": 500, "nextCursor": cursor}})


def queries(server: Any) -> list[dict[str, str]]:
    return [{name: value[0] for name, value in parse_qs(urlsplit(seen.path).query).items()} for seen in server.seen]


def send(hook: Any, count: int) -> list[str]:
    async def main() -> list[str]:
        async with hook.get_async_conn() as client:
            invite = hook.check_invite(NUMBER, MESSAGE)
            return [(await client.send_once(invite)).message_id for _ in range(count)]

    return event_loop.run(main())


# what is asked for


def test_ids_of_the_vendors_length_are_packed_51_to_a_request():
    ids = [f"{number:039d}" for number in range(100_000)]
    packed = list(pack(ids, []))
    assert [message_id for part in packed for message_id in part] == ids
    assert max(len(",".join(part)) for part in packed) <= 2048
    assert len(packed) == 1961  # 16 minutes at 120 a minute
    assert len(packed[0][0]) == len(ACCEPTED["messageId"])  # type: ignore[arg-type]


def test_short_ids_fill_a_page_and_no_more():
    packed = list(pack([str(number) for number in range(1, 1002)], []))
    assert max(map(len, packed)) <= 500
    assert sum(map(len, packed)) == 1001


def test_what_cannot_be_asked_for_is_reported_and_the_rest_is_asked_for():
    wrong: list[str] = []
    assert list(pack(["a", "", " ", "b,c", "x" * 2049, "a", "d" * 2048], wrong)) == [["a"], ["d" * 2048]]
    assert wrong == ["", " ", "b,c", "x" * 2049]


def test_invites_are_found_by_their_ids(hook_for):
    with Sandbox(seed=1, settings=Settings(delivery_after=(0.0, 0.0))) as sandbox:
        hook = hook_for(sandbox)
        ids = send(hook, 60)
        found = read(hook, by_ids(*ids, "not-there"))
    assert sorted(message.message_id for message in found) == sorted(ids)
    assert {message.status.delivery for message in found} == {Delivery.DELIVERED}
    first = found[0]
    assert (first.destination, first.price, first.currency) == (NUMBER, Decimal("0.0405"), "EUR")
    assert first.sent_at <= first.done_at


def test_a_number_is_found_within_its_time_and_each_has_a_request(wire, hook_for):
    server = wire(page("a"), page("b"))
    found = read(hook_for(server), lambda logs: all_of(logs.by_destination(["41", "42"], SINCE, SINCE)))
    assert [message.message_id for message in found] == ["a", "b"]
    asked = queries(server)
    assert [query["destination"] for query in asked] == ["41", "42"]
    assert asked[0]["sentSince"] == "2026-11-01T12:00:00.000+0000"
    assert "messageId" not in asked[0]


def test_by_destination_against_the_sandbox(hook_for, sandbox):
    hook = hook_for(sandbox)
    (sent,) = send(hook, 1)
    now = datetime.now(UTC)
    day = timedelta(days=1)
    found = read(hook, lambda logs: all_of(logs.by_destination([NUMBER], now - day, now + day)))
    assert [message.message_id for message in found] == [sent]
    assert read(hook, lambda logs: all_of(logs.by_destination([NUMBER], now - 2 * day, now - day))) == []


def test_a_time_without_a_zone_is_refused(wire, hook_for):
    with pytest.raises(ValueError, match="time zone"):
        read(hook_for(wire()), lambda logs: all_of(logs.by_destination(["41"], SINCE.replace(tzinfo=None), SINCE)))


# pages


def test_the_cursor_is_followed_with_the_same_filter(wire, hook_for):
    server = wire(page("a", cursor="c1"), page("b", cursor="c2"), page("c"))
    assert [message.message_id for message in read(hook_for(server), by_ids("a", "b", "c"))] == ["a", "b", "c"]
    assert [query.get("cursor") for query in queries(server)] == [None, "c1", "c2"]
    assert {query["messageId"] for query in queries(server)} == {"a,b,c"}


def test_no_page_is_asked_for_that_could_hold_nothing_new(wire, hook_for):
    server = wire(page("a", "b", cursor="c1"))
    read(hook_for(server), by_ids("a", "b"))
    assert len(server.seen) == 1


def test_a_second_delivery_under_one_id_is_found_on_a_later_page(wire, hook_for):
    server = wire(page("a", cursor="c1"), page("a"))
    with pytest.raises(IdsIgnoredError, match="delivered twice under one id"):
        read(hook_for(server, extra={"idempotent_sending": True}), by_ids("a"))


def test_an_empty_page_is_the_last(wire, hook_for):
    server = wire(page(cursor="c1"))
    assert read(hook_for(server), by_ids("a")) == []
    assert len(server.seen) == 1


@pytest.mark.parametrize("cursors", [["c"] * 3, [str(number) for number in range(300)]], ids=["same", "new"])
def test_pages_without_an_end_are_an_error(wire, hook_for, cursors):
    server = wire(*(page("x", cursor=cursor) for cursor in cursors))
    with pytest.raises(SmsLogsError, match="do not end"):
        read(hook_for(server), by_ids("a"), requests=1000)
    assert len(server.seen) <= 200


# pace


def test_no_more_than_120_requests_in_any_minute(wire, hook_for):
    clock, times = SkippingClock(), []
    server = wire(*(page("x") for _ in range(500)))

    async def work(logs: SmsLogs) -> None:
        for number in range(300):
            await all_of(logs.by_message_ids([str(number)]))
            times.append(clock.now)

    read(hook_for(server), work, clock)
    assert all(later - earlier >= 60 for earlier, later in zip(times, times[120:], strict=False))
    assert times[-1] == 120.0  # three minutes' worth: the first at once


def test_429_is_waited_out_for_as_long_as_the_vendor_asks(wire, hook_for):
    clock = SkippingClock()
    server = wire(answer(429, {}, "Retry-After: 42"), answer(429, {}), page("a"))
    assert len(read(hook_for(server), by_ids("a"), clock)) == 1
    assert 42 <= clock.now < 50


def test_429_to_the_end_is_an_error(hook_for):
    with (
        Sandbox(seed=1, settings=Settings(logs_limit=0)) as sandbox,
        pytest.raises(SmsLogsError, match="HTTP 429") as caught,
    ):
        read(hook_for(sandbox), by_ids("a"))
    assert caught.value.http_status == 429


@pytest.mark.parametrize("fault", [answer(500, {}), answer(503, {}), then_close()], ids=["500", "503", "no answer"])
def test_what_may_pass_is_asked_again(wire, hook_for, fault):
    server = wire(fault, fault, page("a"))
    assert len(read(hook_for(server), by_ids("a"))) == 1


# refusals


def test_a_key_without_the_scope_is_told_its_name(hook_for):
    with (
        Sandbox(seed=1, settings=Settings(logs_scope=False)) as sandbox,
        pytest.raises(SmsLogsError, match=r"HTTP 403 .*sms:logs:read \(or sms:manage\)") as caught,
    ):
        read(hook_for(sandbox), by_ids("a"))
    assert caught.value.http_status == 403


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (answer(401, {}), "HTTP 401 .*login, key or token is wrong"),
        (answer(404, {}), "HTTP 404 .*no SMS logs; check the host"),
        (answer(307, {}, "Location: http://elsewhere.example/"), "HTTP 307 .*redirects are not followed"),
        (answer(400, {"errorCode": "E400", "description": "No."}), "HTTP 400 E400: No"),
        (answer(200, "<html>", "Content-Type: text/html"), "not JSON .*vendor's host"),
        (answer(200, {"rows": []}), "no list of results"),
        (answer(200, []), "no list of results"),
    ],
)
def test_what_will_not_pass_is_an_error_at_once(wire, hook_for, play, said):
    server = wire(play)
    with pytest.raises(SmsLogsError, match=said):
        read(hook_for(server), by_ids("a"))
    assert len(server.seen) == 1


def test_an_error_does_not_repeat_the_number(wire, hook_for):
    server = wire(answer(400, {"errorCode": "E400", "description": f"{NUMBER} is wrong"}))
    with pytest.raises(SmsLogsError) as caught:
        read(hook_for(server), lambda logs: all_of(logs.by_destination([NUMBER], SINCE, SINCE)))
    assert NUMBER not in str(caught.value)


def test_an_oauth2_token_that_ended_is_asked_for_again(hook_for):
    with Sandbox(seed=1) as sandbox:
        ours = sandbox.credentials
        hook = hook_for(sandbox, login=ours.client_id, password=ours.client_secret, extra={"auth_type": "oauth2"})
        assert read(hook, by_ids("a")) == []
        wrong = hook_for(sandbox, login=ours.client_id, password="wrong-secret", extra={"auth_type": "oauth2"})
        with pytest.raises(SmsLogsError, match="No access token"):
            read(wrong, by_ids("a"))


# rows


@pytest.mark.parametrize(
    ("group", "status", "delivery"),
    [
        (0, 0, Delivery.PENDING),
        (1, 7, Delivery.PENDING),
        (2, 9, Delivery.UNDELIVERABLE),
        (3, 5, Delivery.DELIVERED),
        (3, 2, Delivery.PENDING),
        (4, 15, Delivery.EXPIRED),
        (4, 29, Delivery.UNKNOWN),
        (5, 52, Delivery.REJECTED),
        (99, 9999, Delivery.PENDING),
        (None, None, Delivery.PENDING),
    ],
)
def test_delivery_is_decided_by_group_and_id(group, status, delivery):
    assert delivery_of_status(group, status) is delivery


def test_what_is_final():
    assert {each for each in Delivery if not each.is_final} == {Delivery.PENDING, Delivery.NOT_SEEN}


def test_a_row_is_read_leniently(wire, hook_for):
    odd = {
        "messageId": "a",
        "destination": 41793026727,
        "sentAt": "soon",
        "doneAt": "2026-11-01T12:00:00.000+0100",
        "price": [],
        "status": {"groupId": 77, "id": 1, "more": {}},
        "content": {},
        "new": 1,
    }
    server = wire(answer(200, {"results": [odd, 5, {"destination": "41"}, {"messageId": "b"}]}))
    first, second = read(hook_for(server), by_ids("a", "b"))
    assert first.destination is None
    assert first.sent_at is None
    assert first.done_at == datetime(2026, 11, 1, 11, tzinfo=UTC)
    assert first.price is None
    assert first.status.raw["more"] == {}
    assert first.status.delivery is second.status.delivery is Delivery.PENDING


@pytest.mark.parametrize(
    ("price", "count", "whole"),
    [
        (0.0405, 3, Decimal("0.1215")),
        ("0.04", 2, Decimal("0.08")),
        (0, 1, Decimal(0)),
        (0.04, None, None),
        (None, 1, None),
        ("free", 1, None),
        ("NaN", 1, None),
        (True, 1, None),
    ],
)
def test_the_price_is_that_of_all_parts(price, count, whole):
    row = {"messageId": "a", "price": {"pricePerMessage": price, "currency": "EUR"}, "messageCount": count}
    assert LoggedMessage.from_json(row).price == whole


def test_a_row_shows_no_number():
    shown = repr(LoggedMessage.from_json({"messageId": "a", "destination": NUMBER, "content": {"text": "secret"}}))
    assert NUMBER not in shown
    assert "secret" not in shown
