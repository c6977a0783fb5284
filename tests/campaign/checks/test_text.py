from __future__ import annotations

import random
from collections import UserDict
from datetime import date
from decimal import Decimal
from enum import Enum, StrEnum
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.checks.text import LinkTemplate, MessageTemplate


def render(text: str, **fields: Any) -> str:
    return MessageTemplate(text).render(fields)


def test_fields_of_the_row_go_in_and_the_link_placeholder_stays():
    text = "Hello {first_name}, your {product} is at <link>"
    assert render(text, first_name="Vreni", product="Foo", unused=object()) == "Hello Vreni, your Foo is at <link>"


def test_a_template_without_fields_is_the_text_itself():
    assert render("100 %s %(x)s %% of you: <link>") == "100 %s %(x)s %% of you: <link>"


def test_a_field_may_come_twice_and_is_named_once():
    template = MessageTemplate("{b} {a} {b}")
    assert template.fields == ("b", "a")
    assert template.render({"a": "1", "b": "2"}) == "2 1 2"


@pytest.mark.parametrize("name", ["first_name", "First Name", "first-name", "Prénom", "名前", "_x", "a1", "A b-c d"])
def test_names_as_columns_have_them(name):
    assert MessageTemplate(f"<{{{name}}}>").render({name: "v"}) == "<v>"


def test_double_braces_are_literal():
    assert render("{{a}} {a} {{{a}}} }}{{", a="x") == "{a} x {x} }{"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("Hi {user.__class__}", "character 4", "not the plain name"),
        ("{0}", "character 1", "not the plain name"),
        ("{}", "character 1", "names no field"),
        ("{ }", "character 1", "names no field"),
        ("{ a }", "character 1", "not the plain name"),
        ("x{a[b]}", "character 2", "not the plain name"),
        ("{a!r}", "character 1", "not the plain name"),
        ("{a:>10}", "character 1", "not the plain name"),
        ("{a:{b}}", "character 1", "not closed"),
        ("{a\n}", "character 1", "not the plain name"),
        ("abc {", "character 5", "not closed"),
        ("abc {name", "character 5", "not closed"),
        ("name} x", "character 5", "without a {"),
        ("{a}}", "character 4", "without a {"),
        ("{" + "a." * 500 + "}", "character 1", "…"),
    ],
)
def test_anything_else_in_braces_is_refused_before_a_row_is_read(text, where, what):
    with pytest.raises(ValueError) as raised:
        MessageTemplate(text)
    assert where in str(raised.value)
    assert what in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_template_that_is_no_text_is_refused():
    with pytest.raises(ValueError, match="NoneType"):
        MessageTemplate(None)  # type: ignore[arg-type]


class Colour(StrEnum):
    RED = "red"


class MixedIn(str, Enum):  # noqa: UP042 - as older code has it
    RED = "red"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (7, "7"),
        (-7, "-7"),
        (3.0, "3"),
        (0.1, "0.1"),
        (-0.0, "0"),
        (1e16, "10000000000000000"),
        (1e-7, "0.0000001"),
        (Decimal("12.50"), "12.50"),
        (Decimal("1E+5"), "100000"),
        (Decimal("0E+5"), "0"),
        (Fraction(1, 3), "1/3"),
        (date(2026, 7, 30), "2026-07-30"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (MixedIn.RED, "red"),
        (" padded \u00a0\r\n", "padded"),
    ],
)
def test_values_are_written_as_people_write_them(value, shown):
    assert render("{v}", v=value) == shown


@pytest.mark.parametrize("value", [None, "", "  ", "\t\n", float("nan"), Decimal("NaN"), Decimal("sNaN")])
def test_a_field_that_is_empty_makes_the_row_invalid(value):
    with pytest.raises(InvalidInviteError) as raised:
        render("Hello {first_name}", first_name=value)
    assert raised.value.reason.field == "message"
    assert str(raised.value) == "message: needs the field 'first_name', which is empty in this row"


def test_a_field_that_is_missing_makes_the_row_invalid():
    with pytest.raises(InvalidInviteError, match="needs the field 'first_name', which is not in this row"):
        render("Hello {first_name}", First_Name="x")


class Traitor:
    def __str__(self) -> str:
        raise AssertionError("was asked for its text")

    __repr__ = __str__
    __format__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "value",
    [
        [1],
        {"a": 1},
        b"x",
        object(),
        Traitor(),
        float("inf"),
        1e300,
        1e-300,
        pytest.param(10**5000, id="huge"),
        Decimal("1E+999999"),
    ],
)
def test_a_value_that_is_nothing_for_a_text_makes_the_row_invalid_without_being_shown(value):
    with pytest.raises(InvalidInviteError) as raised:
        render("{v}", v=value)
    assert f"is a {type(value).__name__} that cannot be put in a text" in str(raised.value)


def test_any_mapping_is_a_row():
    assert MessageTemplate("{a}").render(UserDict(a="x")) == "x"


def test_its_repr_does_not_show_the_message():
    assert "secret" not in repr(MessageTemplate("secret {a}"))


@given(st.text(), st.text(alphabet="ab{}%[].!: _<>0"), st.randoms())
def test_braces_and_percents_in_values_are_plain_text(free, nasty, order: random.Random):
    values = ["x" + free, "x" + nasty]
    order.shuffle(values)
    assert render("<{a}|{b}>", a=values[0], b=values[1]) == f"<{values[0].strip()}|{values[1].strip()}>"


@given(st.text(alphabet="a_b{}.[]!:%0 -"))
def test_a_template_renders_to_pieces_of_itself_and_of_the_row_or_is_refused(text):
    """Nothing is ever evaluated: what can be compiled is the text with plain names replaced."""

    class Row(dict[str, Any]):
        asked: set[str] = set()  # noqa: RUF012 - one test, one row

        def get(self, name: str, default: Any = None) -> Any:
            self.asked.add(name)
            return "\ufffd"

    try:
        template = MessageTemplate(text)
    except ValueError:
        # Refused although str.format takes plain names only: then there is something other than a name in braces.
        assert "{" in text or "}" in text
        return
    row = Row()
    rendered = template.render(row)
    assert row.asked <= set(template.fields)
    expected = text.replace("{{", "\x00").replace("}}", "\x01")
    for name in template.fields:
        assert name.replace("_", "a").replace(" ", "a").replace("-", "a").isalnum()
    # With the doubled braces out of the way, what is left must be names in braces and nothing else.
    if "{{" not in text and "}}" not in text:
        for name in template.fields:
            expected = expected.replace(f"{{{name}}}", "\ufffd")
        assert rendered == expected
    assert rendered.count("\ufffd") == len(template._names)


@given(st.text(alphabet="ab{}", max_size=12))
def test_it_agrees_with_str_format_wherever_both_take_the_template(text):
    fields = {"a": "1", "b": "2", "ab": "3", "ba": "4", "aa": "5", "bb": "6"}
    try:
        rendered = MessageTemplate(text).render(fields)
    except (ValueError, InvalidInviteError):
        return
    assert rendered == text.format(**fields)


@pytest.mark.parametrize(
    ("link", "value", "sent"),
    [
        ("https://t.me/a%20b?x={a}&y=50%", "100%", "https://t.me/a%20b?x=100%25&y=50%"),
        ("https://t.me/{{x}}/{a}", "/?&# \u00e9{b}", "https://t.me/{x}/%2F%3F%26%23%20%C3%A9%7Bb%7D"),
        ("https://m\u00fcnchen.example/{a}", 17.0, "https://m\u00fcnchen.example/17"),
        (" https://{a}.example:{a}/ ", "8", "https://8.example:8/"),
    ],
)
def test_a_value_is_url_encoded_and_the_rest_of_the_link_stays_as_it_is(link, value, sent):
    assert LinkTemplate(link).render({"a": value}) == sent


@pytest.mark.parametrize("value", ["evil.example/#", "a b", "m\u00fcnchen", "x:y", "\ud83d", None, ""])
def test_a_link_whose_host_a_value_would_damage_is_invalid(value):
    with pytest.raises(InvalidInviteError, match=r"^link: "):
        LinkTemplate("https://{a}.example/").render({"a": value})


@pytest.mark.parametrize(
    "link",
    [
        "https:///x",
        "https://.",
        "https://t.me\\@evil.example",
        "https://t.me:port/",
        "https://t.me:70000/",
        "https://a%2Fb/",
        "//t.me",
        "",
    ],
)
def test_a_link_that_is_no_url_whatever_the_row_is_refused(link):
    with pytest.raises(InvalidInviteError, match="must be an absolute URL"):
        LinkTemplate(link)
