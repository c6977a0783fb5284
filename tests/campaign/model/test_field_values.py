"""A field with nothing in it means the same everywhere, whether it comes from a file, a database or a data frame."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.checks.opt_outs import NationalOptOut, Suppression, numbers_in
from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
from airflow_provider_omnichat.campaign.checks.send_window_rule import WindowRule
from airflow_provider_omnichat.campaign.model.field_values import is_blank, value_in
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result, Row
from tests.support.row_checks import NOON, SWISS, check


class Undecided:
    """As pandas' NA is, which is not installed here: compared with anything it gives itself, and that is no bool."""

    __hash__ = None  # type: ignore[assignment]  # as of what is never equal

    def __eq__(self, other: object) -> Any:
        return self

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class ManyAnswers(Undecided):
    """As an array is."""

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array with more than one element is ambiguous")


MISSING: list[Any] = [None, "", " ", "\t\n", "\u00a0", math.nan, Decimal("NaN"), Decimal("sNaN"), Undecided()]
MISSING += ["\\N", "(null)", "[NULL]", "<NA>", "NaT", "nan", "None", "#N/A", " None\u00a0"]
missing = pytest.mark.parametrize("nothing", MISSING, ids=lambda value: f"{type(value).__name__} {value!s:.6}")


@missing
def test_nothing_is_missing(nothing):
    assert is_blank(nothing)
    assert value_in({"a": nothing}, "a") is None


@pytest.mark.parametrize(
    "value", ["a", "NULL", "N/A", "Nan", 0, 0.0, False, Decimal(0), math.inf, [], {}, [math.nan], ManyAnswers()]
)
def test_what_is_something_is_not_missing(value):
    assert not is_blank(value)
    assert value_in({"a": value}, "a") is value


def test_a_text_has_no_white_space_at_its_ends():
    assert value_in({"a": "\u00a0 Ada Lovelace\u3000 \r\n"}, "a") == "Ada Lovelace"


def test_a_field_that_is_not_there_or_not_asked_for_is_missing():
    assert value_in({"a": 1}, "b") is None
    assert value_in({"a": 1}, None) is None


@missing
def test_a_row_without_a_number_is_invalid_and_says_so(nothing):
    (found,) = check([{"to": nothing}])
    assert isinstance(found, Result)
    assert (found.outcome, found.error, found.to) == ("invalid", "to: is missing", "")


@missing
def test_a_row_without_a_text_or_placeholder_of_its_own_takes_those_of_all(nothing):
    (found,) = check([{"to": SWISS, "message": nothing, "link_placeholder": nothing}])
    assert isinstance(found, Candidate), found
    assert found.invite.contents[1:3] == ("Hello <link>", "<link>")


@missing
def test_a_row_without_a_country_is_of_the_default_region(nothing):
    (found,) = check([{"to": "079 302 67 27", "country": nothing}], region_column="country", default_region="CH")
    assert isinstance(found, Candidate), found
    assert found.invite.to == SWISS


@missing
def test_a_row_without_a_key_has_none(nothing):
    (found,) = check([{"to": SWISS, "id": nothing}], key_column="id")
    assert found.key is None


@missing
def test_a_row_without_a_time_zone_takes_that_of_its_number(nothing):
    window = WindowRule(SendWindow("11:00", "13:00", zone_column="zone"), now=lambda: NOON)
    (found,) = check([{"to": SWISS, "zone": nothing}], rules=[window])
    assert isinstance(found, Candidate), found


@missing
def test_an_opt_out_without_a_number_is_left_out_and_one_without_a_country_is_of_the_default_region(nothing):
    rows = [Row(1, {"to": nothing, "country": "FR"}), Row(2, {"to": "079 302 67 27", "country": nothing})]
    entries = list(numbers_in(rows, "to", "country"))
    assert not isinstance(entries[1], NationalOptOut)
    suppression = Suppression([nothing, entries[1]], "CH")
    assert (len(suppression), suppression.ignored) == (1, 0)
