"""How outcomes are called, ordered and summed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.ledger.audit import CLAIMED
from airflow_provider_omnichat.plugins.invites.outcomes import label, shares, summed_counts, summed_reasons
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask
from tests.support.plugin_tasks import sending


def tasks(*fields: dict[str, Any]) -> list[SendingTask]:
    return [task for each in fields if (task := sending(**each)) is not None]


def reason(outcome: str, count: int, *first: str | int, name: str | None = None) -> dict[str, Any]:
    return {"outcome": outcome, "code": "http_rejected", "name": name, "count": count, "first": list(first)}


def test_outcomes_have_the_label_of_log_and_command() -> None:
    assert [label(str(outcome)) for outcome in Outcome] == [outcome.label for outcome in Outcome]
    assert label(CLAIMED) == "being sent"


def test_each_outcome_has_its_place_in_the_order() -> None:
    everything = dict.fromkeys(["zebra", *map(str, Outcome), CLAIMED], 1)
    order = [share.outcome for share in shares(everything)]
    assert (order[:2], order[-1]) == (["unknown", CLAIMED], "zebra")


def test_doubts_come_first_and_unknown_words_last() -> None:
    found = shares({"zebra_word": 1, "accepted": 6, "unknown": 1, "rejected": 2, "invalid": 0})
    assert [(share.outcome, share.label, share.rows, share.percent) for share in found] == [
        ("unknown", "in doubt", 1, 10),
        ("accepted", "accepted", 6, 60),
        ("rejected", "rejected", 2, 20),
        ("zebra_word", "zebra word", 1, 10),
    ]


@pytest.mark.parametrize("counts", [{}, {"accepted": 0}])
def test_nothing_has_no_share(counts: dict[str, int]) -> None:
    assert shares(counts) == []


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 10**12)))
def test_shares_add_up(counts: dict[str, int]) -> None:
    found = shares(counts)
    assert sum(share.rows for share in found) == sum(counts.values())
    assert not found or sum(share.percent for share in found) == pytest.approx(100)


def test_counts_of_tasks_are_added() -> None:
    found = tasks({"counts": {"accepted": 3, "unknown": 1}}, {"counts": {"accepted": 4, "held": 2}})
    assert summed_counts(task.progress.counts for task in found) == {"accepted": 7, "unknown": 1, "held": 2}
    assert summed_counts([]) == {}


def test_reasons_of_tasks_are_added_and_doubts_come_first() -> None:
    first = [reason("rejected", 9, "a", "b", "c", name="DND"), reason("unknown", 1, 7)]
    second = [reason("rejected", 2, "d", "e", "f", name="DND"), reason("rejected", 3, "g", name="OTHER")]
    given = tasks({"reasons": first}, {"reasons": second})
    for _ in range(2):  # what is given is left as it is
        found = summed_reasons(given)
        assert [(each.outcome, each.name, each.count, each.first) for each in found] == [
            ("unknown", None, 1, [7]),
            ("rejected", "DND", 11, ["a", "b", "c", "d", "e"]),
            ("rejected", "OTHER", 3, ["g"]),
        ]


def test_no_more_keys_and_reasons_are_shown_than_people_read() -> None:
    many = [reason("rejected", at, *map(str, range(50)), name=f"N{at}") for at in range(100)]
    found = summed_reasons(tasks({"reasons": many}))
    assert [each.count for each in found] == list(range(99, 69, -1))
    assert {len(each.first) for each in found} == {5}
