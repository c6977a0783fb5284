from __future__ import annotations

from airflow_provider_omnichat.campaign.model.names import distinct_name
from airflow_provider_omnichat.campaign.sql.values import stored_name


def test_a_name_that_fits_stays_as_it_is():
    assert distinct_name("welcome", "welcome", 7) == "welcome"


def test_what_was_changed_or_cut_stays_apart():
    names = ["ab", "a b", "a_b", "a" * 40, "a" * 41, "\ud83d", "\ud83e", "\ufffd"]
    made = [distinct_name(name, name.replace(" ", "_").encode(errors="replace").decode(), 30) for name in names]
    assert len({*made}) == len(names)
    assert max(map(len, made)) <= 30
    assert made[1].startswith("a_b~")
    assert made[1][4:].isalpha(), "no digits, which would be masked as a number"


def test_names_in_a_column_are_equal_only_to_themselves():
    names = ["a", "a ", "a  ", "\x00", "\ufffd", "x" * 250, "x" * 251, "x" * 251 + "y", "Äpfel", "A\u0308pfel"]
    assert len({stored_name(name) for name in names}) == len(names)
    assert all(len(stored_name(name)) <= 250 and stored_name(name) == stored_name(name).rstrip(" ") for name in names)
