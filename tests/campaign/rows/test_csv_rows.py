"""CSV as people, spreadsheets and programs write it."""

from __future__ import annotations

import codecs
import csv
import io
import tracemalloc
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row, RowSourceError
from airflow_provider_omnichat.campaign.rows.columns import AnyColumns, Need, RowColumns
from airflow_provider_omnichat.campaign.rows.files import rows_of_stream
from airflow_provider_omnichat.campaign.rows.lines import LONGEST_ROW
from tests.support.read_rows import fields, read


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", codecs.BOM_UTF8])
def test_csv_with_any_delimiter_line_end_and_bom(delimiter, end, bom):
    lines = [["to", "first name"], ["1", "Zoë"], ["2", "a" + ",;\t|".replace(delimiter, "")]]
    text = end.join(delimiter.join(cells) for cells in lines)
    expected = [{"to": "1", "first name": "Zoë"}, {"to": "2", "first name": lines[2][1]}]
    assert fields(read(bom + text.encode())) == expected
    assert fields(read(bom + text.encode() + end.encode())) == expected


def test_the_delimiter_is_the_one_that_splits_the_header_most():
    assert fields(read("to;name, first;city\n1;a, b;c\n")) == [{"to": "1", "name, first": "a, b", "city": "c"}]
    assert fields(read('"a,b,c";to\nx;1\n')) == [{"a,b,c": "x", "to": "1"}]
    assert fields(read("to\n1\n")) == [{"to": "1"}]
    assert fields(read("to\tn,m\n1\tx\n", "list.tsv")) == [{"to": "1", "n,m": "x"}]


def test_the_delimiter_is_the_one_that_gives_the_columns_that_are_asked_for():
    text = "Kundennr;Mobil;Name, Vorname, Titel\n1;+41793026727;Muster, Ada, Dr.\n"
    columns = RowColumns([Need("Mobil", " mobil", "to_column"), Need("Kundennr", "Kundennr", "key_column")])
    assert fields(read(text, columns=columns)) == [{"Mobil": "+41793026727", "Kundennr": "1"}]
    assert fields(read(text, columns=AnyColumns(["Mobil"])))[0]["Name, Vorname, Titel"] == "Muster, Ada, Dr."


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (",to,n\n0,1,a\n1,2,b\n", [{"to": "1", "n": "a"}, {"to": "2", "n": "b"}]),
        ('"",to,,n,\n0,1,x,a,y\n1,2,,b\n', [{"to": "1", "n": "a"}, {"to": "2", "n": "b"}]),
        ("to,n,\n1,a\n2,b,,\n", [{"to": "1", "n": "a"}, {"to": "2", "n": "b"}]),
    ],
)
def test_a_column_without_a_name_is_nobodys(text, rows):
    assert fields(read(text)) == rows
    assert fields(read(text, columns=RowColumns([Need("to", "to", "to_column")]))) == [
        {"to": row["to"]} for row in rows
    ]


def test_a_column_without_a_name_shows_where_one_is_missing():
    with pytest.raises(RowSourceError, match=r"there is no column 'to'; its columns are '', n. Correct the list"):
        read(",n\n+41793026727,a\n", columns=RowColumns([Need("to", "to", "to_column")]))


def test_the_line_that_tells_excel_its_delimiter_is_no_header():
    assert fields(read("sep=;\r\nto;n\r\n1;a,b,c\r\n")) == [{"to": "1", "n": "a,b,c"}]


def test_quoted_line_breaks_quotes_and_delimiters_are_text():
    assert fields(read('to,n\r\n1,"a\r\nb, ""c"""\r\n2,d')) == [{"to": "1", "n": 'a\r\nb, "c"'}, {"to": "2", "n": "d"}]


def test_text_streams_are_read_too():
    text = "\ufeffto,n\r\n1,\u201ex\u201c\r\n"
    assert list(rows_of_stream(io.StringIO(text, newline=""), "x.csv")) == read(text)
    assert list(rows_of_stream(io.StringIO(text), "x.csv")) == read(text)


def test_empty_lines_and_the_empty_cells_of_spreadsheets_are_no_rows():
    rows = read("\nto,n\n\n1,\n,,\n,,,,\n2,b,,\n\n")
    assert rows == [Row(1, {"to": "1", "n": ""}), Row(2, {"to": "2", "n": "b"})]


def test_short_and_long_rows_are_counted_and_told_by_line():
    rows = read("to,n\n1\n2,b\n3,c,41793026727\n")
    assert [row.position for row in rows] == [1, 2, 3]
    assert fields(rows) == [
        "line 2: does not have as many cells as the header: 1, not 2",
        {"to": "2", "n": "b"},
        "line 4: does not have as many cells as the header: 3, not 2",
    ]


def test_a_quote_that_never_closes_costs_its_own_row_only():
    rows = read('to,n\n1,"a\n2,b\n3,"c"\n4,"multi\nline"\n5,"e\n6,f\n')
    assert [(row.position, isinstance(row, Row)) for row in rows] == [
        (1, False), (2, True), (3, True), (4, True), (5, False), (6, True),
    ]  # fmt: skip
    assert fields(rows)[0] == "line 2: a quote is opened and not closed, or closed too late"
    assert fields(rows)[4] == "line 7: a quote is opened and not closed"
    assert rows[3] == Row(4, {"to": "4", "n": "multi\nline"})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_quote_that_closes_two_lines_below_swallows_nobody(end, delimiter):
    lines = ['to,n,"t"', '+41790000001,a,"Hi', "+41790000002,b,Hi", '+41790000003,c,Hi"', "+41790000004,d,Hi", ""]
    rows = read(end.join(lines).replace(",", delimiter))
    assert fields(rows)[0] == "line 2: a quote is opened and not closed, or closed too late"
    assert [row["to"] for row in fields(rows)[1:]] == ["+41790000002", "+41790000003", "+41790000004"]
    assert [row.position for row in rows] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('to,n\n+41790000001,"a\n+41790000002,b"\n', ["+41790000002"]),
        ('n,to\n"a,+41790000001\nb,+41790000002"\nc,+41790000003\n', ['+41790000002"', "+41790000003"]),
        ('to,n,c\n+41790000001,"a,Bern\n+41790000002,b",Bern\n', ["+41790000002"]),
        ('to,n\n+41790000001,"a\n+41790000002,""\nb"\n', ["+41790000002"]),
        ('to,n\n+41790000001,"a\n+41790000002,"\nb\nc"\n+41790000003,d\n', ["+41790000002", "+41790000003"]),
        ('to,n\n+41790000001,"a\n+41790000002,b,,\n0041 79 000 00 03,c"\n', ["+41790000002", "0041 79 000 00 03"]),
        ('to\n"+41790000001\n+41790000002\n+41790000003"\n', ["+41790000002", '+41790000003"']),
        ('to,n\n+41790000001,"a\n4.179E+10,b"\n', ["4.179E+10"]),
    ],
)
def test_each_line_behind_an_open_quote_that_may_be_a_persons_is_a_row(text, found):
    rows = read(text)
    assert isinstance(rows[0], BrokenRow)
    assert "not closed" in fields(rows)[0]
    assert [row.fields["to"] for row in rows if isinstance(row, Row)] == found


@pytest.mark.parametrize(
    "text",
    [
        "Hello Anna,\nplease, follow <link>",
        "Hello\n\n\nAnna",
        "Call us:\n044 123 45 67\nor <link>",
        "1, 2, 3\n4, 5, 6",
        'He said "yes",\nshe said "no, never"',
        "+41 79 000 00 01\nTel, Fax, +41 79 000 00 02",
        "Thanks,\nfollow us, Anna",
    ],
)
@pytest.mark.parametrize("columns", [2, 3, 5])
def test_a_text_of_several_lines_stays_one(text, columns):
    names, values = ["to", "n", "x", "y", "z"][:columns], ["+41790000001", text, "1000234", "", ""][:columns]
    written = io.StringIO()
    csv.writer(written).writerows([names, values, ["+41790000009", *values[1:]]])
    assert fields(read(written.getvalue())) == [
        dict(zip(names, values, strict=True)),
        dict(zip(names, ["+41790000009", *values[1:]], strict=True)),
    ]


def test_a_quote_that_closes_too_late_in_the_header_is_told():
    with pytest.raises(
        RowSourceError, match="line 1, the header: a quote is opened and not closed, or closed too late"
    ):
        read('to,"n\n+41790000001,a\n+41790000002,b"\n+41790000003,c\n')
    assert fields(read('to,"first\nname"\n1,a\n')) == [{"to": "1", "first\nname": "a"}]


def test_a_quote_that_never_closes_in_a_long_file_costs_its_own_row_only():
    lines = [f"{n},x{n}" for n in range(20_000)]
    lines[70] = '70,"x'
    rows = read("to,n\n" + "\n".join(lines))
    assert [row.position for row in rows] == list(range(1, 20_001))
    (broken,) = [row for row in rows if isinstance(row, BrokenRow)]
    assert (broken.position, str(broken.reason)) == (71, "line 72: a quote is opened and not closed")


def test_text_behind_a_closing_quote_makes_its_row_broken():
    assert fields(read('to,n\n1,"a"b\n2,c\n')) == ["line 2: its quotes do not match", {"to": "2", "n": "c"}]


def test_a_line_that_is_not_utf8_is_told_and_the_others_are_read():
    rows = read(b'to,n\n1,Zo\xeb\n2,b\n3,"c\nZo\xeb"\n')
    assert fields(rows) == [
        "line 2: is not UTF-8; save the file as UTF-8",
        {"to": "2", "n": "b"},
        "line 4: is not UTF-8; save the file as UTF-8: line 5",
    ]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_line_without_end_is_told_and_not_held(ending):
    good = ("to,n\n1,a\n", "2,b\n") if ending == "csv" else ('{"to": "1", "n": "a"}\n', '{"to": "2", "n": "b"}\n')

    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self.parts: Iterator[bytes] = iter([good[0].encode(), *[b'9,"x' * 250_000] * 50, b"\n", good[1].encode()])
            self.rest = b""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.rest = self.rest or next(self.parts, b"")
            taken = self.rest[: len(buffer)]
            self.rest = self.rest[len(taken) :]
            buffer[: len(taken)] = taken
            return len(taken)

    tracemalloc.start()
    rows = list(rows_of_stream(io.BufferedReader(Endless()), "x." + ending))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = 3 if ending == "csv" else 2
    assert fields(rows) == [
        {"to": "1", "n": "a"},
        f"line {line}: is longer than 65,536 characters",
        {"to": "2", "n": "b"},
    ]
    assert peak < 4_000_000, "50 MB went through"


def test_a_row_as_long_as_allowed_is_taken():
    text = "x" * (LONGEST_ROW - 3)  # with the number, the comma and the line end
    assert fields(read(f"to,n\n1,{text}\n2,{text}x\n")) == [
        {"to": "1", "n": text},
        "line 3: is longer than 65,536 characters",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty; the first line must name the columns"),
        ("\n\n", "is empty; the first line must name the columns"),
        (",,\n1,2,3\n", "line 1, the header: is empty"),
        ("\nto, to \n", "line 2, the header: columns 1 and 2 have the same name"),
        ("Anna,41793026727\n", "line 1, the header: column 2 is named like a phone number"),
        ("+41 79 302 67 27\n", "line 1, the header: column 1 is named like a phone number"),
        ('"to,n\n1,2\n', "line 1, the header: a quote is opened and not closed"),
        ("x" * 100_000, "line 1 is longer than 65,536 characters"),
        ("to,Zoë\n".encode("latin-1"), "line 1 is not UTF-8"),
        ("to,n\n1,2\n".encode("utf-16"), "is UTF-16"),
    ],
)
def test_a_csv_without_a_usable_header_is_refused(content, said):
    with pytest.raises(RowSourceError) as error:
        read(content)
    assert str(error.value).startswith("list.csv: " + said)
    assert "41793026727" not in str(error.value)
    assert "302 67" not in str(error.value)


def test_columns_that_must_be_there():
    columns = RowColumns([Need("to", "to", "to_column")])
    assert fields(read("n,To\n1,2\n", columns=columns)) == [{"to": "2"}]
    with pytest.raises(RowSourceError, match="there is no column 'to'; its columns are phone, n"):
        read("phone,n\n1,2\n", columns=columns)


CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=8)),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_what_csv_writers_write_is_read_back(table, delimiter, end, quote_all):
    width = len(table[0]) if table else 1
    columns = [f"column {n}" for n in range(width)]
    file = io.StringIO()
    # Line breaks inside cells are quoted whatever the version of Python by not being minimal where there are any.
    breaks = any(character in cell for cells in table for cell in cells for character in "\r\n")
    quoting: Literal[0, 1] = csv.QUOTE_ALL if quote_all or breaks else csv.QUOTE_MINIMAL
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([columns, *table])
    # With one column the delimiter cannot be told from the header, and does not matter unless it stands in a cell.
    if (
        width == 1
        and quoting == csv.QUOTE_MINIMAL
        and any(c in cell for cells in table for cell in cells for c in ",;\t|")
    ):
        return
    rows = read(file.getvalue())
    assert fields(rows) == [dict(zip(columns, cells, strict=True)) for cells in table if any(cells)]


KINDS = {
    "{},a": "a",
    '{},"a"': "a",
    '{},"a\nb"': "a\nb",
    '{},"open': None,
    '{},"a"b': None,
    "{}": None,
    "{},a,b": None,
    "{},Zo\udceb": None,
}


@given(st.lists(st.sampled_from(list(KINDS)), max_size=30))
def test_no_good_row_is_lost_to_a_broken_one(kinds):
    # An open quote may close where a quoted line break begins, and then nobody can tell which of the two is broken.
    if '{},"open' in kinds:
        kinds = [kind for kind in kinds if kind != '{},"a\nb"']
    content = "\n".join(["to,n", *(kind.format(number) for number, kind in enumerate(kinds, 1))])
    rows = read(content.encode("utf-8", "surrogateescape"))
    assert [row.position for row in rows] == list(range(1, len(kinds) + 1))
    for row, kind in zip(rows, kinds, strict=True):
        expected = KINDS[kind]
        if expected is None:
            assert isinstance(row, BrokenRow)
        else:
            assert row == Row(row.position, {"to": str(row.position), "n": expected})
