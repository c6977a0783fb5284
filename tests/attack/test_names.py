"""Names that look alike, or must be changed for the place where they stand, never become one."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.campaign.ledger.task_state_format import journal_name
from airflow_provider_omnichat.campaign.sql.values import stored_name
from airflow_provider_omnichat.tasks.ledger import with_resend_key
from airflow_provider_omnichat.tasks.places import folder_names
from tests.support.attacks import TRIED, attack

pytestmark = [pytest.mark.attack, pytest.mark.timeout(300)]

# As Airflow takes them: names of DAGs and tasks, runs, and the user's own.
PART = st.text(st.sampled_from([*"ab_.-~1日月éé", "\u0301"]), min_size=1, max_size=5).filter(
    lambda text: text.strip(".")
)
RUN = st.text(st.sampled_from("ab1_.~:+-"), min_size=1, max_size=5)
ANY = st.text(st.sampled_from([*"ab/:. _#~|=@\\é日月", "\u0301", "\x00", "\n", "\u200b"]), max_size=5) | st.text(
    max_size=5
)
LONG = st.sampled_from(["", "x" * 100, "日" * 199, "b" * 250, "~" * 260])
TASKS = st.tuples(PART, RUN, PART, st.none() | st.integers(0, 12).map(str), st.builds(str.__add__, LONG, ANY))


@attack(2000)
@given(TASKS, TASKS)
def test_two_tasks_never_share_a_folder(one: tuple[str | None, ...], other: tuple[str | None, ...]) -> None:
    assume(one != other)
    TRIED["pairs of names"] += 1
    folders = [folder_names("/".join(filter(None, names[:4])), names[4]) for names in (one, other)]
    assert folders[0] != folders[1]
    for name in (name for folder in folders for name in folder):
        assert name not in ("", ".", ".."), folders
        assert "/" not in name
        assert len(name.encode()) <= 255, folders


@attack(2000)
@given(st.builds(str.__add__, LONG, ANY), st.builds(str.__add__, LONG, ANY))
def test_two_campaigns_never_share_a_name_in_a_table_a_journal_or_a_key(one: str, other: str) -> None:
    assume(one != other)
    TRIED["pairs of names"] += 1
    # As MySQL compares them, which pads with spaces.
    assert stored_name(one).rstrip(" ") != stored_name(other).rstrip(" ")
    assert len(stored_name(one)) <= 250
    assert stored_name(stored_name(one)) == stored_name(one)
    for name in (one, other):
        assume(name.isprintable())
    assert journal_name(one) != journal_name(other)
    assert recipient_key(one, "41793026727") != recipient_key(other, "41793026727")


@attack(1000)
@given(ANY.filter(lambda name: "#" not in name), ANY, ANY.filter(lambda name: "#" not in name), ANY)
def test_a_resend_key_makes_no_other_campaign(one: str, key: str, other: str, other_key: str) -> None:
    assume((one, key) != (other, other_key))
    TRIED["pairs of names"] += 1
    assert with_resend_key(one, key) != with_resend_key(other, other_key)
