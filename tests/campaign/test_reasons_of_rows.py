"""Which code a row gets, and that nothing of the row stands in the sentence that is counted."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, IN_DOUBT, Claim, Entry
from airflow_provider_omnichat.campaign.ledger.retake import doubted_again, still_in_doubt
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Wait
from airflow_provider_omnichat.campaign.phone.number import normalise_number
from airflow_provider_omnichat.campaign.phone.time_zones import checked_zone
from airflow_provider_omnichat.campaign.rows.files import rows_of_stream
from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from tests.support.reasons import why
from tests.support.row_checks import invite


@pytest.mark.parametrize(
    ("number", "region", "code"),
    [
        (None, None, "no_number"),
        (" ", None, "no_number"),
        ("n/a", None, "not_a_number"),
        (["+41793026727"], None, "not_a_number"),
        ("1" * 50, None, "not_a_number"),
        ("+41 79", None, "number_too_short"),
        ("+41793026727793026727", None, "not_a_number"),
        ("+417930267271234", None, "number_too_long"),
        (4179302672.5, None, "number_lost_digits"),
        ("4.18E+10", None, "number_lost_digits"),
        ("+41793026727, +41793026728", None, "several_numbers"),
        ("+41793026727\n+41793026728", None, "several_numbers"),
        ("0171.1234567.0", None, "number_ambiguous"),
        ("079 302 67 27", None, "no_country_code"),
        ("+999 1234567", None, "unknown_country_code"),
        ("079 302 67 27", "XX", "unknown_country"),
    ],
)
def test_each_kind_of_number_has_its_code_and_none_of_its_digits_is_general(number, region, code):
    with pytest.raises(InvalidInviteError) as raised:
        normalise_number(number, region)
    reason = raised.value.reason
    assert reason.code == code
    assert str(raised.value) == str(reason)
    assert "****" not in reason.general
    assert "302" not in reason.general.replace("+41793026727", "")


@pytest.mark.parametrize(
    ("given", "code", "general"),
    [
        ({"message": None}, "no_text", "message: is missing"),
        ({"message": 5}, "not_a_text", "message: must be a text, is a int"),
        ({"message": "a\x00<link>"}, "not_a_text", "message: has a NUL character in it; fix the source's encoding"),
        (
            {"message": "Hello"},
            "no_link_placeholder",
            "message: does not contain the link placeholder, so that the SMS would have no link",
        ),
        (
            {"message": "a" * 3826 + "<link>"},
            "message_too_long",
            "message: is too long, the vendor takes at most 25 SMS and 4,000 bytes",
        ),
        (
            {"application_key": None},
            "no_application",
            "application_key: is missing; give it here or in the connection's extra",
        ),
        (
            {"application_key": ".."},
            "unusable_application",
            "application_key: is blank, dots or has unprintable characters; copy it again from the vendor's portal",
        ),
    ],
)
def test_each_fault_of_a_text_has_its_code(given, code, general):
    with pytest.raises(InvalidInviteError) as raised:
        invite(**given)
    assert (raised.value.reason.code, raised.value.reason.general) == (code, general)


def test_lines_that_are_broken_alike_have_one_reason():
    text = "to,n\n1\n+41793026727,b,c\n" + '1,"x\n'
    reasons = [row.reason for row in rows_of_stream(io.StringIO(text), "due.csv") if isinstance(row, BrokenRow)]
    assert [reason.code for reason in reasons] == ["row_unreadable"] * 3
    assert [reason.general for reason in reasons] == [
        "does not have as many cells as the header",
        "does not have as many cells as the header",
        "a quote is opened and not closed",
    ]


def test_a_wait_and_a_zone_have_their_codes_and_the_moment_is_a_detail():
    wait = Wait(datetime(2026, 7, 1, tzinfo=UTC), "2026-07-01 09:00 (Europe/Zurich)").reason
    assert (wait.code, wait.general) == ("outside_send_window", "outside the send window until it opens")
    assert str(wait) == "outside the send window until it opens: 2026-07-01 09:00 (Europe/Zurich)"
    with pytest.raises(InvalidInviteError) as raised:
        checked_zone("Mars")
    zone = raised.value.reason
    assert (zone.code, zone.general) == ("not_a_time_zone", "time_zone: is no known time zone")
    assert "Mars" in str(zone)


def test_what_became_of_a_doubt_since_is_a_value_of_its_own_whatever_the_first_reason_says():
    odd = why("no answer. It was sent again: by hand, says the vendor")
    entry = still_in_doubt(Entry.now(Outcome.UNKNOWN, reason=odd), why("busy"))
    assert entry.reason is not None
    assert (entry.reason.code, entry.reason.first) == (odd.code, odd.text)
    assert entry.reason.since == "It was to be sent again and was not: busy"
    again = doubted_again(entry, why("no answer either"))
    assert (again.code, again.first, again.since) == (odd.code, odd.text, "It was sent again: no answer either")


def test_the_table_of_a_ledger_has_code_first_reason_and_what_became_since_apart(tmp_path):
    path = tmp_path / "ledger.db"

    def ledger_of() -> SqlLedger:
        return SqlLedger(SqlDatabase(lambda: sqlite3.connect(path), "sqlite", "?"), "c", "dag/run/task")

    def database() -> list[Any]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(f"SELECT reason_code, error, since FROM {DEFAULT_TABLE}").fetchall()

    claims = [Claim("0" * 32, "41790000000")]
    first = ledger_of()
    first.claim(claims, CERTAINLY_NOT_SENT)
    doubt = Entry.now(Outcome.UNKNOWN, reason=why("no answer"))
    first.record({"0" * 32: doubt})
    first.flush()
    assert database() == [("read_timeout", "no answer", None)]
    second = ledger_of()
    second.claim(claims, CERTAINLY_NOT_SENT | IN_DOUBT)
    assert database() == [("read_timeout", "no answer", None)], "a claim keeps the doubt that it is taken of"
    second.record({"0" * 32: still_in_doubt(doubt, why("busy"))})
    second.flush()
    assert database() == [("read_timeout", "no answer", "It was to be sent again and was not: busy")]
    third = ledger_of()
    assert third.claim(claims, CERTAINLY_NOT_SENT | IN_DOUBT) == {}
    third.record({"0" * 32: Entry.now(Outcome.ACCEPTED)})
    third.flush()
    assert database() == [(None, None, None)]
