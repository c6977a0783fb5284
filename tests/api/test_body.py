"""What a vendor's JSON may hold, and what is left of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_omnichat.api.body import NamedTwiceError, parse_body

ODD_TEXT = st.text(st.characters() | st.sampled_from("\ud83d\ude00\0"), max_size=6)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3),
    max_leaves=8,
)


def nested(levels: int, within: str = "[]") -> bytes:
    begin, end = ("[", "]") if within == "[]" else ('{"a":', "}")
    return (begin * levels + "1" + end * levels).encode()


@settings(max_examples=200, deadline=None)
@given(ODD)
def test_whatever_is_parsed_can_be_stored_as_strict_utf_8_json_without_nul(value: Any):
    text = json.dumps(parse_body(json.dumps(value).encode()), ensure_ascii=False, allow_nan=False)
    assert "\0" not in text.encode().decode()
    assert "\\u0000" not in text


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"a\ud83d b"', "a\ufffd b"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (b'"\xed\xa0\xbd"', "\ufffd"),
        (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (rb'"\\ud83d"', "\\ud83d"),
        (rb'"a\u0000b"', "a\ufffdb"),
        (rb'[[{"x\ud83d": ["\ud83d"]}]]', [[{"x\ufffd": ["\ufffd"]}]]),
        (b"1e999", "1e999"),
        (b"-1e999", "-1e999"),
        (b"NaN", "NaN"),
        (b"1.5", 1.5),
        (b"123456789012345678", 123456789012345678),
        (b"1" * 400, "1" * 400),
    ],
)
def test_what_no_store_takes_is_replaced_or_stays_text(written, read):
    assert parse_body(written) == read


@pytest.mark.parametrize("within", ["[]", "{}"])
def test_what_is_nested_too_deep_is_cut_off(within):
    assert json.loads(nested(20, within)) == parse_body(nested(20, within))
    cut = json.dumps(parse_body(nested(600, within)))
    assert cut.count("[") + cut.count("{") == 20
    assert json.loads(cut)


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1, "a": 1}', b'[{"x": {"a": 1, "b": 2, "a": 3}}]', rb'{"a": 1, "\u0061": 2}', b'[[{"a":{}, "a":{}}]]'],
)
def test_a_name_that_is_given_twice_is_refused_wherever_it_stands(body):
    with pytest.raises(NamedTwiceError):
        parse_body(body)
