"""A list larger than intended, or another one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression
from airflow_provider_omnichat.campaign.engine.measuring import Fingerprint, NotApprovedError, check_list, measure_list
from airflow_provider_omnichat.campaign.preview.budget import Budget, BudgetError, Size
from airflow_provider_omnichat.campaign.rows.lists import rows_of_list
from tests.support.row_checks import gate


def people(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"to": f"+4179{2_000_000 + i}", **fields} for i in range(count)]


def survey(rows: list[dict[str, Any]], budget: Budget | None = None, approved: str | None = None, **given: Any) -> None:
    surveyed = measure_list(lambda on_invite: gate(on_invite=on_invite, **given), rows_of_list(rows))
    check_list(surveyed, budget or Budget(), approved)


def fingerprint_of(rows: list[dict[str, Any]], **given: Any) -> str:
    made = Fingerprint()
    list(gate(on_invite=made.add, **given).checked(rows_of_list(rows)))
    return str(made)


def test_a_list_within_every_limit_passes():
    survey(people(10), Budget(max_invites=10, max_segments=10, price_per_segment=0.05, max_cost=0.5))


def test_a_cost_that_is_the_limit_to_the_last_digit_is_within_it():
    Budget(price_per_segment=0.1, max_cost=0.3).check(Size(3, 3))
    with pytest.raises(BudgetError):
        Budget(price_per_segment=0.1, max_cost=0.3).check(Size(4, 4))


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(max_invites=9), "10 people would be invited, max_invites is 9"),
        (Budget(max_segments=9), "about 10 SMS would be sent, max_segments is 9"),
        (Budget(price_per_segment=0.05, max_cost=0.49), "it would cost about 0.50, max_cost is 0.49"),
        (
            Budget(price_per_segment=0.05, max_cost=0.49, currency="EUR"),
            "it would cost about 0.50 EUR, max_cost is 0.49 EUR",
        ),
        (Budget(max_invites=0), "10 people would be invited, max_invites is 0"),
    ],
)
def test_a_list_beyond_a_limit_is_refused_and_the_text_says_by_how_much(budget, words):
    with pytest.raises(BudgetError) as error:
        survey(people(10), budget)
    assert words in str(error.value)
    assert "raise the limit" in str(error.value)


def test_every_limit_that_is_exceeded_is_named():
    with pytest.raises(BudgetError, match=r"max_invites is 1; .*max_segments is 2; .*max_cost is 3\.00"):
        Budget(max_invites=1, max_segments=2, price_per_segment=1, max_cost=3).check(Size(10, 10))


def test_only_those_count_who_would_be_invited():
    rows = [*people(3), *people(3), {"to": "nobody"}, {"to": "+41792000099"}]
    survey(rows, Budget(max_invites=3), rules=[Suppression(["+41792000099"])])


def test_a_long_text_counts_as_its_sms():
    with pytest.raises(BudgetError, match="about 4 SMS"):
        survey(people(2, message="a" * 200 + "<link>"), Budget(max_segments=3))


@pytest.mark.parametrize(
    "given",
    [
        {"max_invites": -1},
        {"max_invites": "10"},
        {"max_invites": 1.5},
        {"max_invites": True},
        {"max_segments": -1},
        {"price_per_segment": -0.1},
        {"price_per_segment": "0.1"},
        {"currency": 978},
        {"currency": " "},
        {"currency": "E" * 21},
        {"price_per_segment": 1, "max_cost": float("nan")},
        {"max_cost": 10},
    ],
)
def test_a_wrong_budget_is_an_error_that_names_the_argument(given):
    with pytest.raises(ValueError, match="|".join(given)):
        Budget(**given)


def test_the_approved_list_passes_in_any_order():
    rows = people(20)
    survey(rows[::-1], approved=fingerprint_of(rows))


def test_who_opts_out_after_the_approval_needs_no_new_one():
    rows = people(20)
    survey(rows, approved=fingerprint_of(rows), rules=[Suppression([rows[3]["to"]])])


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:-1],
        lambda rows: [*rows, {"to": "+41793026727"}],
        lambda rows: [{**rows[0], "message": "Another text <link>"}, *rows[1:]],
        lambda rows: [{**rows[0], "to": "+41793026727"}, *rows[1:]],
    ],
    ids=["one less", "one more", "another text", "another number"],
)
def test_another_list_than_the_approved_one_is_refused(change):
    rows = people(20)
    with pytest.raises(NotApprovedError, match="approved: this is not the list that was approved"):
        survey(change(rows), approved=fingerprint_of(rows))


def test_another_application_or_text_for_all_is_another_list():
    rows = people(3)
    with pytest.raises(NotApprovedError):
        survey(rows, approved=fingerprint_of(rows), application_key="OTHER")


@pytest.mark.parametrize("change", [{"link_placeholder": "Hello"}, {"integration_type": "TELEGRAM"}])
def test_another_placeholder_or_channel_is_another_list(change):
    rows = people(3)
    with pytest.raises(NotApprovedError):
        survey(rows, approved=fingerprint_of(rows), **change)


@given(st.permutations(range(12)), st.integers(0, 11))
def test_the_fingerprint_tells_lists_and_not_orders(order, left_out):
    rows = people(12)
    whole = fingerprint_of(rows)
    assert fingerprint_of([rows[i] for i in order]) == whole
    assert fingerprint_of([rows[i] for i in order if i != left_out]) != whole
