"""Lists, opt-out lists and numbers with any damage: no person is lost without a word, none stands in another's row."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression, SuppressionError, numbers_in
from airflow_provider_omnichat.campaign.model.rows import Row, RowSourceError
from airflow_provider_omnichat.campaign.phone.number import normalise_number
from airflow_provider_omnichat.campaign.rows.columns import AnyColumns, Need, RowColumns
from airflow_provider_omnichat.campaign.rows.files import rows_of_stream
from tests.support.attacks import TRIED, attack

pytestmark = [pytest.mark.attack, pytest.mark.timeout(300)]

T = TypeVar("T")
PEOPLE = [f"4178555{67 + at:02}{at}{at}" for at in range(6)]
SPECIAL = [
    '"',
    '""',
    "'",
    ",",
    ";",
    "\t",
    "|",
    "\r",
    "\n",
    "\x00",
    "\ufeff",
    "\u2028",
    "\x85",
    "\x0c",
    "\x1a",
    "{",
    "}",
]
BYTES = st.sampled_from([each.encode() for each in SPECIAL] + [b"\\", b"\xff", b"\xed\xa0\xbd", b"[", b":", b"1"])
# In which line, where in it, what, and how many bytes of the line it stands for; no line break is ever lost.
DAMAGE = st.lists(
    st.tuples(st.integers(0, len(PEOPLE)), st.floats(0, 1), st.lists(BYTES, min_size=1, max_size=3), st.integers(0, 4)),
    min_size=1,
    max_size=5,
)
LINES = {
    ".csv": ["to,name,id", *(f"{to},Ada {at},c{at}" for at, to in enumerate(PEOPLE))],
    ".tsv": ["to\tname\tid", *(f'{to}\t"Ada {at}"\tc{at}' for at, to in enumerate(PEOPLE))],
    ".jsonl": [f'{{"to": "{to}", "name": "Ada {at}", "id": "c{at}"}}' for at, to in enumerate(PEOPLE)],
}
KINDS = st.sampled_from(list(LINES))


def damaged(kind: str, damage: list[Any]) -> tuple[bytes, set[str]]:
    """Make a file, and tell whose line is as it was."""
    lines = [line.encode() for line in LINES[kind]]
    for which, place, pieces, size in damage:
        line = lines[which % len(lines)]
        at = int(place * len(line))
        lines[which % len(lines)] = line[:at] + b"".join(pieces) + line[at + size :]
    whole = {
        to for to, line in zip(PEOPLE, lines[-len(PEOPLE) :], strict=True) if line.decode("latin-1") in LINES[kind]
    }
    return b"\n".join(lines) + b"\n", whole


@attack(2000)
@given(KINDS, DAMAGE, st.booleans())
def test_each_untouched_line_is_its_own_row_or_a_line_that_is_told(kind: str, damage: Any, has_columns: bool) -> None:
    data, whole = damaged(kind, damage)
    TRIED["damaged lists"] += 1
    columns = (
        RowColumns([Need("to", "to", "to_column"), Need("name", "name", "message")]) if has_columns else AnyColumns()
    )
    rows = read_or_refuse(lambda: list(rows_of_stream(io.BytesIO(data), f"list{kind}", columns)))
    if rows is None:
        return
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    if kind == ".jsonl":
        lines = io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape")
        assert len(rows) == sum(bool(line.strip()) for line in lines)
    good = [row.fields for row in rows if isinstance(row, Row)]
    held = [sum(any(to in str(value) for value in fields.values()) for to in PEOPLE) for fields in good]
    assert max(held, default=0) <= 1, (data, good)
    lost = 0
    for at, to in enumerate(PEOPLE):
        own = [fields for fields in good if to in fields.values()]
        if to in whole:
            assert [fields.get("name", f"Ada {at}") for fields in own] in ([], [f"Ada {at}"]), (data, own)
            lost += not own
    # Behind a damaged header the column may be another, or none, which is refused where it is asked for.
    assert lost == 0 or not data.startswith(LINES[kind][0].encode()), (data, rows)


@attack(1500)
@given(KINDS, DAMAGE)
def test_an_opt_out_list_is_refused_or_holds_whoever_is_on_an_untouched_line(kind: str, damage: Any) -> None:
    data, whole = damaged(kind, damage)
    TRIED["damaged opt-out lists"] += 1
    found = read_or_refuse(lambda: Suppression(numbers_in(rows_of_stream(io.BytesIO(data), f"list{kind}"), "to")))
    assert found is None or {int(to) for to in whole} <= found._numbers, data


def read_or_refuse(read: Callable[[], T]) -> T | None:
    """Read, or give None for what is refused, which must not show a number."""
    try:
        return read()
    except (SuppressionError, RowSourceError, InvalidInviteError) as error:
        said = re.sub(r"[^\d*]", "", str(error))  # a masked number keeps its asterisks
    assert "78555" not in said
    return None


SHAPES = st.sampled_from(["41785559182", "+41 78 555 91 82", "0041785559182", "078 555 91 82", "(078) 555-91-82"])
DIGITS = "0123456789\u0660\u0661\u0966\u0967\uff10\uff11\u2460\u00b2\u00bd\u2167"
NOISE = st.text(
    st.sampled_from([*DIGITS, *"+-()./ ,;xe#*", "\u200b", "\u202e", "\xa0", "\u2212", "\ud83d", "\x00"]), max_size=4
)


@attack(2000)
@given(SHAPES, st.integers(0, 20), NOISE, st.integers(0, 2), st.sampled_from([None, "CH", "US", "AR", "xx", "ch "]))
def test_a_number_is_one_person_or_refused_without_being_shown(
    shape: str, at: int, noise: str, size: int, region: str | None
) -> None:
    written = shape[:at] + noise + shape[at + size :]
    TRIED["damaged numbers"] += 1
    number = read_or_refuse(lambda: normalise_number(written, region))
    if number is None:
        return
    assert re.fullmatch(r"[1-9][0-9]{6,14}", number)
    assert normalise_number(number) == normalise_number(f"+{number}") == number
    digits = "".join(str(int(char)) for char in written if char.isdecimal())
    assert digits.lstrip("0")[-6:] == number[-6:], (written, number)
