"""Each rule of the gate, with rows that it lets through and rows that it does not."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import pytest

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression, SuppressionError, numbers_in
from airflow_provider_omnichat.campaign.checks.partition import Partition
from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
from airflow_provider_omnichat.campaign.checks.send_window_rule import WindowRule
from airflow_provider_omnichat.campaign.model.field_values import RoundedFloat
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Candidate, Result, Row
from tests.support.reasons import why
from tests.support.row_checks import NOON, SWISS, check


def outcome(one: Candidate | Result) -> str:
    if isinstance(one, Result):
        return str(one.outcome)
    return "waits" if one.wait else "goes"


def opening(one: Candidate | Result) -> datetime:
    assert isinstance(one, Candidate)
    assert one.wait is not None
    return one.wait.opens_at


def reason(one: Candidate | Result) -> str:
    assert isinstance(one, Candidate)
    assert one.wait is not None
    return str(one.wait.reason)


# suppression

SHEET_ERRORS = ["ERROR!", "NAME?", "VALUE!", "REF!", "NUM!", "NULL!", "DIV/0!", "FEHLER!", "\u00dcBERLAUF!", "####"]


def test_people_who_opted_out_are_left_out_however_the_number_is_written():
    suppression = Suppression(["+41 (0)79 302 67 27", "0044 7700 900123", 4915123456789, " ", None, "n/a", "-"])
    assert (len(suppression), suppression.ignored) == (3, 2)
    rows = [{"to": f"+{SWISS}"}, {"to": "447700900123"}, {"to": "+4915123456789"}, {"to": "+41793026728"}]
    found = check(rows, rules=[suppression])
    assert [outcome(one) for one in found] == ["suppressed", "suppressed", "suppressed", "goes"]
    assert isinstance(found[0], Result)
    assert found[0].error == "is on the opt-out list"


def test_national_opt_outs_are_read_with_the_default_region():
    suppression = Suppression(["079 302 67 27"], "CH")
    assert [outcome(one) for one in check([{"to": SWISS}], rules=[suppression])] == ["suppressed"]


def test_a_national_opt_out_is_of_the_country_in_its_own_row():
    french = {"to": "06 12 34 56 78", "country": " fr"}  # the same digits are a possible number in Switzerland
    given = [french, {"to": "079 302 67 27", "country": ""}, {"to": "079 302 67 28"}, {"phone": "+447700900123"}]
    rows = [Row(position, fields) for position, fields in enumerate(given, 1)]
    suppression = Suppression(numbers_in(rows, "to", "country"), "CH")
    invites = [french, {"to": SWISS}, {"to": "41793026728"}, {"to": "+447700900123"}]
    found = check(invites, rules=[suppression], region_column="country", default_region="CH")
    assert [outcome(one) for one in found] == ["suppressed"] * 4


def test_a_list_without_a_single_number_is_no_opt_out_list():
    with pytest.raises(SuppressionError, match="suppression: not one of 3 entries is a phone number"):
        Suppression(["n/a", "", "unknown"])


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        *[(f"#{word}", "is what a spreadsheet shows for an error") for word in SHEET_ERRORS],
        ("-4.2E+11", "was shortened by a spreadsheet"),
        ("xxx-xxx-6711", "has letters in it"),
        ("6711", "has no country code"),
        ("ask Ada", "has letters in it"),
        (41793030000.0, "looks like a float that was rounded"),
        ("41793028096.0", "looks like a float that was rounded"),
        (RoundedFloat(41793026727), "comes from a column of 32-bit floats"),
        (numpy.float32(41793026727), "is a float32"),
        (b"41793026727", "must be one phone number as a text, is a bytes"),
    ],
)
def test_an_opt_out_that_is_no_number_and_no_word_for_none_stops_everything(entry, kind):
    with pytest.raises(SuppressionError) as error:
        Suppression(["+41793026728", entry])
    assert re.search(rf"entry 2: to: (\S+ ?\S* )?{re.escape(kind)}", str(error.value)), error.value
    assert "6711" not in str(error.value)


@pytest.mark.parametrize(
    "word", ["n/a", "N/A", " - ", "\u2014", "unknown", "NULL", "None", "#N/A", "", "na", "no number", 0]
)
def test_an_opt_out_that_says_there_is_no_number_is_passed_over(word):
    assert len(Suppression(["+41793026728", word])) == 1


def test_an_opt_out_that_may_be_a_number_and_cannot_be_read_stops_everything():
    with pytest.raises(SuppressionError) as error:
        Suppression(["+41793026727", "079 302 67 28", "+4179302672"])
    text = str(error.value)
    assert text.startswith("suppression: 2 entries cannot be read as phone numbers")
    assert "entry 2: to: 079 3****28 has no country code" in text
    assert "entry 3" in text
    assert "default_region" in text
    assert "079 302 67 28" not in text


@pytest.mark.parametrize(
    ("rows", "numbers"),
    [
        ([Row(1, {"to": "1", "name": "x"}), Row(2, {"to": "2", "name": "y"})], ["1", "2"]),
        ([Row(1, {"phone": "1"})], ["1"]),
    ],
)
def test_the_number_of_an_opt_out_row_is_in_the_column_or_in_the_only_one(rows, numbers):
    assert list(numbers_in(rows, "to")) == numbers


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Row(3, {"phone": "1", "name": "x"}), "row 3 has no column 'to' (it has 'phone', 'name')"),
        (Row(3, {"+41793026727": True, "b": 1}), "(it has '+4179****27', 'b')"),
        (BrokenRow(4, why("line 5: is not UTF-8")), "row 4 cannot be read: line 5: is not UTF-8"),
    ],
)
def test_an_opt_out_row_whose_number_cannot_be_found_stops_everything(row, words):
    with pytest.raises(SuppressionError) as error:
        list(numbers_in([row], "to"))
    assert words in str(error.value)


# the send window


def window(hours: tuple[str, str] = ("09:00", "20:00"), now: datetime = NOON, **given: Any) -> WindowRule:
    return WindowRule(SendWindow(*hours, **given), now=lambda: now)


def test_who_is_inside_the_window_goes_and_until_when_is_known():
    (one,) = check([{"to": SWISS}], rules=[window()])
    assert isinstance(one, Candidate)
    assert one.closes_at == datetime(2026, 7, 1, 18, tzinfo=UTC).timestamp()


def test_who_is_outside_waits_until_the_window_opens_there():
    found = check([{"to": "12125550123"}, {"to": SWISS}, {"to": "819012345678"}], rules=[window()])
    assert [outcome(one) for one in found] == ["waits", "goes", "goes"]
    assert reason(found[0]) == "outside the send window until it opens: 2026-07-01 09:00 (America/New_York)"
    assert opening(found[0]) == datetime(2026, 7, 1, 13, tzinfo=UTC)


def test_the_rows_own_zone_wins_over_that_of_the_number():
    rows = [{"to": SWISS, "zone": "America/New_York"}, {"to": "12125550123", "zone": "europe/zurich"}]
    found = check([*rows, {"to": "41793026728", "zone": ""}], rules=[window(zone_column="zone")])
    assert [outcome(one) for one in found] == ["waits", "goes", "goes"]


def test_a_number_with_several_zones_must_be_inside_in_all_of_them():
    spanish = {"to": "34612345678"}  # 09:30 in Madrid, 08:30 on the Canary Islands
    (early,) = check([spanish], rules=[window(now=datetime(2026, 7, 1, 7, 30, tzinfo=UTC))])
    assert opening(early) == datetime(2026, 7, 1, 8, tzinfo=UTC)
    assert reason(early) == "outside the send window until it opens: 2026-07-01 08:00 UTC (2 time zones)"
    (late,) = check([spanish], rules=[window(now=datetime(2026, 7, 1, 17, 59, tzinfo=UTC))])
    assert isinstance(late, Candidate)
    assert late.closes_at == datetime(2026, 7, 1, 18, tzinfo=UTC).timestamp()  # 20:00 in Madrid


def test_zones_that_are_never_inside_together_make_the_row_invalid():
    (one,) = check([{"to": "79123456789"}], rules=[window(("09:00", "12:00"))])
    assert outcome(one) == "invalid"
    assert isinstance(one, Result)
    assert "never inside send_window together" in str(one.error)


def test_a_number_without_a_zone_takes_the_default_or_is_invalid():
    satellite = {"to": "870773111632"}
    (without,) = check([satellite], rules=[window()])
    assert outcome(without) == "invalid"
    assert isinstance(without, Result)
    assert "default_zone" in str(without.error)
    assert [outcome(one) for one in check([satellite], rules=[window(default_zone="Europe/Zurich")])] == ["goes"]


def test_a_default_zone_that_is_none_is_an_error_at_once():
    with pytest.raises(ValueError, match=r"send_window\.default_zone: is no known time zone"):
        window(default_zone="Mars/Olympus")


def test_an_unknown_zone_makes_the_row_invalid():
    (one,) = check([{"to": SWISS, "zone": "Mars/Olympus"}], rules=[window(zone_column="zone")])
    assert outcome(one) == "invalid"
    assert isinstance(one, Result)
    assert "Mars/Olympus" in str(one.error)


# the country of each row


def test_a_national_number_is_read_with_the_country_of_its_row():
    rows = [
        {"to": "079 302 67 27", "country": "CH"},
        {"to": "07700 900123", "country": " gb "},
        {"to": "079 302 67 28", "country": ""},
        {"to": "079 302 67 29"},
    ]
    found = check(rows, region_column="country", default_region="CH")
    assert [one.invite.to for one in found if isinstance(one, Candidate)] == [
        "41793026727",
        "447700900123",
        "41793026728",
        "41793026729",
    ]


def test_an_unknown_country_makes_the_row_invalid_and_names_its_column():
    (one,) = check([{"to": "079 302 67 27", "country": "Switzerland"}], region_column="country")
    assert isinstance(one, Result)
    assert one.error == "country: is not a country; write two letters such as CH"


# partition


def test_each_row_is_in_one_part_and_a_person_always_in_the_same():
    rows: list[dict[str, Any]] = [{"to": f"+4179{2_000_000 + i}"} for i in range(500)]
    rows += [{"to": "nobody"}, {"to": None}, {}, *rows[:20]]
    parts = [check(rows, partition=Partition(part, 4)) for part in range(4)]
    assert sorted(one.position for part in parts for one in part) == list(range(1, len(rows) + 1))
    whole = {one.position: outcome(one) for one in check(rows)}
    assert {one.position: outcome(one) for part in parts for one in part} == whole
    sizes = [Counter(map(outcome, part))["goes"] for part in parts]
    assert sum(sizes) == 500
    assert min(sizes) > 90
    shuffled = check(rows[::-1], partition=Partition(0, 4))
    assert {one.invite.to for one in shuffled if isinstance(one, Candidate)} == {
        one.invite.to for one in parts[0] if isinstance(one, Candidate)
    }


@pytest.mark.parametrize("given", [(4, 4), (-1, 4), (0, 0), (0,), "0/4", {"part": 0}, (0.0, 4), (True, 2), 4])
def test_a_wrong_partition_says_how_to_write_it(given):
    with pytest.raises(ValueError, match="partition: must be"):
        Partition.of(given)


def test_a_partition_may_come_out_of_a_template():
    assert Partition.of(["1", "4"]) == Partition(1, 4)
    assert Partition.of(None) is None


# all together


def test_every_rule_bites_at_once_and_the_counts_add_up():
    rows: list[dict[str, Any]] = [
        {"to": SWISS},  # goes
        {"to": "+41 79 302 67 27"},  # duplicate
        {"to": "+41793026728"},  # suppressed
        {"to": "12125550123"},  # held
        {"to": "nobody"},  # invalid
        {"to": "+41793026729", "message": "no link"},  # invalid
        {"to": "870773111632"},  # invalid: no zone
        {"to": "+41793026730", "zone": "America/New_York"},  # held
        {"to": "+41793026728", "zone": "America/New_York"},  # duplicate of a suppressed one
    ]
    rules = [Suppression(["0041793026728"]), window(zone_column="zone")]
    found = check(rows, rules=rules)
    expected = ["goes", "duplicate", "suppressed", "waits", "invalid", "invalid", "invalid", "waits", "duplicate"]
    assert [outcome(one) for one in found] == expected
    assert [one.position for one in found] == list(range(1, 10))


def test_a_rule_sees_the_rows_fields_and_its_error_is_the_rows():
    class Odd:
        def check(self, candidate: Candidate, fields: Any) -> Candidate:
            if fields["n"] % 2:
                raise InvalidInviteError(why("is odd")._replace(field="n"))
            return candidate

    found = check([{"to": SWISS, "n": 1}, {"to": "41793026728", "n": 2}], rules=[Odd()])
    assert [outcome(one) for one in found] == ["invalid", "goes"]
    assert isinstance(found[0], Result)
    assert found[0].error == "n: is odd"
    assert found[0].outcome is Outcome.INVALID


@pytest.mark.parametrize("entry", ["4.2E+10", "4E+10", "#####", 10**5000, 41793026727.5], ids=type)
def test_an_opt_out_that_a_spreadsheet_has_shortened_is_an_error_and_not_nobody(entry):
    with pytest.raises(SuppressionError, match="1 entries cannot be read as phone numbers"):
        Suppression([entry, "+41793026728"])


def test_a_row_with_a_number_beyond_all_bounds_is_invalid_and_the_list_goes_on():
    found = check([{"to": 10**5000, "id": 10**5000}, {"to": "+41793026727", "id": 1}], key_column="id")
    assert [getattr(each, "outcome", None) for each in found] == [Outcome.INVALID, None]


@pytest.mark.parametrize("entries", [[None, None], ["", " "], [float("nan")], [None, "n/a"]])
def test_an_opt_out_list_with_rows_and_no_number_is_the_wrong_list(entries):
    with pytest.raises(SuppressionError, match=f"not one of {len(entries)} entries is a phone number"):
        Suppression(entries)
    assert len(Suppression([])) == 0


@pytest.mark.parametrize(
    "entry", ["/data/optouts.csv", "s3://conn@bucket/o.csv", "optouts-20261127.csv", Path("o.csv")]
)
def test_the_address_of_a_file_in_an_opt_out_list_is_not_passed_over(entry):
    with pytest.raises(SuppressionError, match="entry 1 is the address of a file; name a single file"):
        Suppression([entry, "+41793026728"])


# keys


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (" C-17\u00a0 \r\n", "C-17"),
        ("1017.0 ", "1017"),
        (b"C-17 ", "C-17"),
        (bytearray("Zo\u00eb".encode()), "Zo\u00eb"),
        (memoryview(b"C-17"), "C-17"),
        (memoryview(b"\x00\xff\x10"), "00ff10"),
        (b"ab\x00\x00", "61620000"),
        (b"", None),
        ("None", None),
    ],
)
def test_a_key_is_a_text_without_white_space_at_its_ends_and_bytes_are_one_or_hexadecimal(key, text):
    (found,) = check([{"to": SWISS, "id": key}], key_column="id")
    assert found.key == text
