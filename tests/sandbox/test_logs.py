"""The SMS logs of the sandbox: what the invites that it accepted have come to."""

from __future__ import annotations

from collections import Counter

import pytest
import requests

from airflow_provider_omnichat.sandbox import Sandbox, Settings
from airflow_provider_omnichat.sandbox.options import read_options
from tests.support.patience import PATIENCE_SECONDS


def logs(sandbox, **query):
    return requests.get(f"{sandbox.url}/sms/3/logs", params=query, auth=sandbox.auth, timeout=PATIENCE_SECONDS)


def rows(sandbox, **query):
    answer = logs(sandbox, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def names(sandbox):
    return [row["status"]["name"] for row in rows(sandbox, limit=1000)]


def sandbox_with(**fields):
    return Sandbox(seed=1, settings=Settings(**fields))


def test_a_row_has_the_fields_of_the_contract(post):
    with sandbox_with(delivery_after=(0.0, 0.0)) as sandbox:
        message_id = post(sandbox).json()["messageId"]
        (row,) = rows(sandbox, messageId=message_id)

    assert (row["messageId"], row["destination"], row["messageCount"]) == (message_id, "41793026727", 1)
    assert row["status"]["groupId"] == 3
    assert row["status"]["id"] == 5
    assert row["price"].keys() == {"pricePerMessage", "currency"}
    assert row.keys() >= {"sender", "bulkId", "sentAt", "doneAt", "error", "content"}


def test_statuses_move_on_as_time_passes(post, sandbox_clock):
    with sandbox_with(delivery_after=(8.0, 8.0), logs_lag=2.0) as sandbox:
        post(sandbox)
        seen = [names(sandbox)]
        for seconds in (1.9, 0.2, 1.8, 0.2, 3.8, 0.2):
            sandbox_clock.sleep(seconds)
            seen.append(names(sandbox))

    pending, operator, handset = ["PENDING_ENROUTE"], ["DELIVERED_TO_OPERATOR"], ["DELIVERED_TO_HANDSET"]
    assert seen == [[], [], pending, pending, operator, operator, handset]


def test_endings_come_in_their_shares_and_again_with_the_same_seed(post):
    shares = {"undeliverable": 0.3, "expired": 0.2, "unknown": 0.1, "not-seen": 0.1, "pending": 0.1, "rejected": 0.1}

    def run():
        with sandbox_with(delivery=shares, delivery_after=(0.0, 0.0)) as sandbox:
            for _ in range(60):
                post(sandbox)
            return names(sandbox)

    first = run()
    assert run() == first
    assert len(set(first)) == 6  # not-seen has no row
    assert len(first) < 60
    assert Counter(first)["UNDELIVERABLE_NOT_DELIVERED"] == pytest.approx(18, abs=8)


def test_only_accepted_invites_stand_in_the_logs(post, sandbox):
    sandbox.script("500-after", "500-before", "rejected")
    for _ in range(3):
        post(sandbox)
    assert len(rows(sandbox)) == 1


def test_filters_by_number_and_time(post, sandbox):
    post(sandbox)
    post(sandbox, changed={"to": "41791112233"})
    assert [row["destination"] for row in rows(sandbox, destination="41791112233")] == ["41791112233"]
    assert rows(sandbox, sentUntil="2020-01-01T00:00:00.000+0000") == []
    assert len(rows(sandbox, sentSince="2020-01-01T00:00:00.000+0000")) == 2


def test_pages_by_cursor(post, sandbox):
    for _ in range(3):
        post(sandbox)
    first = logs(sandbox, limit=2, useCursor="true").json()
    second = logs(sandbox, limit=2, useCursor="true", cursor=first["cursor"]["nextCursor"]).json()
    assert [len(first["results"]), len(second["results"])] == [2, 1]
    assert second["cursor"]["nextCursor"] is None


@pytest.mark.parametrize(
    "query", [{"messageId": "x" * 2049}, {"limit": "1001"}, {"sentSince": "yesterday"}, {"cursor": "-1"}]
)
def test_what_the_filters_do_not_take_is_400(sandbox, query):
    answer = logs(sandbox, **query)
    assert answer.status_code == 400
    assert [each["property"] for each in answer.json()["violations"]] == list(query)


def test_wrong_credentials_missing_scope_and_too_many_requests():
    with sandbox_with(logs_limit=2) as sandbox:
        assert requests.get(f"{sandbox.url}/sms/3/logs", auth=("a", "b"), timeout=PATIENCE_SECONDS).status_code == 401
        assert [logs(sandbox).status_code for _ in range(3)] == [200, 200, 429]
    with sandbox_with(logs_scope=False) as sandbox:
        refused = logs(sandbox, limit=1)
        assert (refused.status_code, refused.json()["errorCode"]) == (403, "E403")


def test_a_cleared_outbox_clears_the_logs(post, sandbox):
    message_id = post(sandbox).json()["messageId"]
    assert rows(sandbox, messageId=message_id)
    sandbox.clear()
    assert rows(sandbox, messageId=message_id) == []
    again = post(sandbox).json()["messageId"]
    assert [row["messageId"] for row in rows(sandbox, messageId=f"{message_id},{again}")] == [again]


def test_options_set_the_delivery():
    options = (
        "--delivery undeliverable:0.05,not-seen:0.1 --delivery-after 1-2 --logs-lag 3 --logs-limit 7 --no-logs-scope"
    )
    command = read_options(options.split())
    settings = command.settings
    assert settings.delivery == {"undeliverable": 0.05, "not-seen": 0.1}
    assert (settings.delivery_after, settings.logs_lag, settings.logs_limit) == ((1.0, 2.0), 3.0, 7)
    assert not settings.logs_scope


@pytest.mark.parametrize("shares", ["lost:0.1", "expired:x", "expired:0.6,rejected:0.6", "expired:-1"])
def test_shares_that_cannot_be_are_refused(shares, capsys):
    with pytest.raises(SystemExit):
        read_options(["--delivery", shares])
    assert "--delivery" in capsys.readouterr().err


def test_fifty_rows_unless_more_are_asked_for(post, sandbox):
    for _ in range(51):
        post(sandbox)
    assert [len(rows(sandbox)), len(rows(sandbox, limit=51))] == [50, 51]
