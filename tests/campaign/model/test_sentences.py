from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.campaign.model.sentences import sentences


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ((), ""),
        ((None, "", "  "), ""),
        (("One",), "One."),
        (("One.", "Two"), "One. Two."),
        (("One. ", None, " Two.\n"), "One. Two."),
        (("One..", "Two. ."), "One. Two."),
        (("Right?", "No!", "Wait ...", "Cut…"), "Right? No! Wait ... Cut…"),
        (("One;", "Two:"), "One. Two."),
        (('It has on_empty="fail"', "(Two)"), 'It has on_empty="fail". (Two).'),
        (("One. Two", "Three"), "One. Two. Three."),
    ],
)
def test_each_is_a_sentence_of_its_own(texts, said):
    assert sentences(*texts) == said


@given(st.lists(st.from_regex(r"[A-Z][a-z]{1,5}( [a-z]{1,5}){0,3}[.;, ]{0,2}", fullmatch=True), min_size=1, max_size=5))
def test_there_is_one_full_stop_and_one_space_between_any_two(texts):
    said = sentences(*texts)
    assert said.count(". ") == len(texts) - 1
    assert said.endswith(".")
    assert not any(wrong in said for wrong in ("..", ". .", "  ", " ."))
    assert sentences(said) == said
