"""JSON lines, and what is JSON and not lines."""

from __future__ import annotations

import json

import pytest

from airflow_provider_omnichat.campaign.model.field_values import RoundedFloat
from airflow_provider_omnichat.campaign.model.rows import Row, RowSourceError
from tests.support.read_rows import fields, read


def test_json_lines():
    rows = read('\ufeff{"to": "1", "n": null}\n\n  \n{"to": 2, "deep": {"a": [1]}}\r\n{"to": "Zoë"}', "x.jsonl")
    assert rows == [Row(1, {"to": "1", "n": None}), Row(2, {"to": 2, "deep": {"a": [1]}}), Row(3, {"to": "Zoë"})]


def test_lines_that_are_no_objects_are_counted_and_told_without_their_content():
    lines = [
        '{"to": "1"}',
        '["41793026727"]',
        '"41793026727"',
        '{"to": "41793026727"',
        "{'to': 1}",
        '{"to": "41793026727", "to": "41793026728"}',
        "[" * 60_000,
        '{"to": ' + "9" * 5000 + "}",
        "null",
        '{"to": "2"}',
    ]
    rows = read("\n".join(lines), "x.ndjson")
    assert fields(rows) == [
        {"to": "1"},
        "line 2: must be a JSON object, is a list",
        "line 3: must be a JSON object, is a str",
        "line 4: is not JSON: Expecting ',' delimiter: character 22",
        "line 5: is not JSON: Expecting property name enclosed in double quotes: character 2",
        "line 6: has the same name twice in one object",
        "line 7: is JSON too large or too deep for an invite",
        "line 8: is JSON too large or too deep for an invite",
        "line 9: must be a JSON object, is a NoneType",
        {"to": "2"},
    ]
    assert [row.position for row in rows] == list(range(1, 11))


def test_a_json_line_that_is_not_utf8_is_told():
    assert fields(read(b'{"to": "1", "n": "Zo\xeb"}\n{"to": "2"}\n', "x.json")) == [
        "line 1: is not UTF-8; save the file as UTF-8",
        {"to": "2"},
    ]


@pytest.mark.parametrize(
    "content", [json.dumps([{"to": "1"}]), json.dumps([{"to": "1"}], indent=1), json.dumps({"to": "1"}, indent=1)]
)
def test_a_json_document_that_is_not_lines_is_refused_with_what_to_do(content):
    with pytest.raises(RowSourceError, match="write JSON lines"):
        read(content, "x.json")


def test_json_in_utf16_is_refused():
    with pytest.raises(RowSourceError, match="is UTF-16"):
        read('{"to": "1"}'.encode("utf-16"), "x.jsonl")


def test_a_number_with_an_exponent_is_marked_as_rounded_and_any_other_is_not():
    rows = read('{"to": 4.1793e10, "n": 4.1793026727E+10, "x": 1e-7, "y": 41793026727.0, "z": -0.5}', "x.jsonl")
    (row,) = fields(rows)
    assert row == {"to": 41793000000, "n": 41793026727, "x": 1e-7, "y": 41793026727, "z": -0.5}
    assert [name for name, value in row.items() if isinstance(value, RoundedFloat)] == ["to", "n", "x"]
