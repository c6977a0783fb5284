from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.campaign.model.segments import (
    SURELY_FITS,
    Encoding,
    count_segments,
    outside_gsm7,
    refused_length,
)

# Written by hand from the table of 3GPP TS 23.038, row by row, apart from the code's.
BASIC = [
    "@£$¥èéùìòÇ\nØø\rÅå",
    "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ",
    " !\"#¤%&'()*+,-./",
    "0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZÄÖÑÜ§",
    "¿abcdefghijklmno",
    "pqrstuvwxyzäöñüà",
]
EXTENSION = "\f^{}\\[~]|€"


def by_hand(text: str) -> tuple[str, int, int]:
    """Put one character after the other into parts, as a phone does."""
    basic = set("".join(BASIC))
    gsm = all(character in basic or character in EXTENSION for character in text)
    encoding, single, size = ("GSM-7", 160, 153) if gsm else ("UCS-2", 70, 67)
    widths = [
        (2 if character in EXTENSION else 1) if gsm else len(character.encode("utf-16-le", "surrogatepass")) // 2
        for character in text
    ]
    if sum(widths) <= single:
        return encoding, sum(widths), 1
    parts, room = 1, size
    for width in widths:
        if width > room:
            parts, room = parts + 1, size
        room -= width
    return encoding, sum(widths), parts


def counted(text: str) -> tuple[str, int, int]:
    found = count_segments(text)
    return found.encoding.value, found.units, found.count


def test_the_basic_table_has_every_character_but_the_escape():
    assert sum(map(len, BASIC)) == 127
    assert counted("".join(BASIC)) == ("GSM-7", 127, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("GSM-7", 0, 1)),
        ("a" * 160, ("GSM-7", 160, 1)),
        ("a" * 161, ("GSM-7", 161, 2)),
        ("a" * 306, ("GSM-7", 306, 2)),
        ("a" * 307, ("GSM-7", 307, 3)),
        ("€" * 80, ("GSM-7", 160, 1)),
        ("a" + "€" * 80, ("GSM-7", 161, 2)),
        ("\u2019" * 70, ("UCS-2", 70, 1)),
        ("\u2019" * 71, ("UCS-2", 71, 2)),
        ("a" * 134 + "\u2019", ("UCS-2", 135, 3)),
        ("😀" * 35, ("UCS-2", 70, 1)),
        ("`" * 71, ("UCS-2", 71, 2)),
        ("ç", ("UCS-2", 1, 1)),
    ],
)
def test_known_lengths(text, expected):
    assert counted(text) == expected


def test_what_would_be_split_between_two_parts_moves_to_the_next():
    # 306 units fill two parts, unless an escaped character lies on the border.
    assert counted("a" * 151 + "€" + "a" * 153) == ("GSM-7", 306, 2)
    assert counted("a" * 152 + "€" + "a" * 152) == ("GSM-7", 306, 3)
    assert counted("a" * 65 + "😀" + "\u2019" * 67) == ("UCS-2", 134, 2)
    assert counted("a" * 66 + "😀" + "\u2019" * 66) == ("UCS-2", 134, 3)


def test_each_character_that_moved_moves_those_behind_it():
    assert counted("€" * 228) == ("GSM-7", 456, 3)
    assert counted("€" * 229) == ("GSM-7", 458, 4)


@pytest.mark.parametrize(
    ("most", "more"),
    [
        ("a" * 153 * 25, "a"),
        ("[" * 76 * 25, "["),
        ("€" * 1333, "€"),
        ("\u2019" * 1333, "\u2019"),  # 3,999 bytes and 20 parts
        ("字" * 1333 + "a", "a"),
        ("ж" * 67 * 25, "ж"),  # 3,350 bytes and 25 parts
        ("😀" * 33 * 25, "😀"),
        ("é" * 2000, "a"),
    ],
    ids=lambda text: text[:1],
)
def test_too_long_is_over_25_parts_or_4000_bytes(most, more):
    assert not count_segments(most).too_long
    assert count_segments(most + more).too_long
    assert refused_length(most + "<link>", "<link>") is None, "the link may be short"
    assert refused_length(most + more + "<link>", "<link>")
    assert refused_length(most + more, more) is None, "what stands for the link is not sent"


def test_how_much_too_long_is_said_without_the_text():
    limits = "without the link. Shorten it"
    assert refused_length("字" * 1340 + "<link>", "<link>") == f"4,020 bytes in UTF-8 {limits}"
    assert refused_length("a" * 3826 + "<link>", "<link>") == f"26 SMS in GSM-7 {limits}"
    both = "30 SMS in UCS-2 and 6,000 bytes in UTF-8"
    assert refused_length("字" * 2000 + "<link>", "<link>") == f"{both} {limits}"


@given(st.text(st.sampled_from(["a", "€", "字", "😀"]), min_size=SURELY_FITS, max_size=SURELY_FITS))
def test_what_is_not_counted_because_it_is_short_is_not_too_long(text):
    assert not count_segments(text).too_long


@given(st.text(max_size=100))
def test_the_size_is_that_of_utf8(text):
    assert count_segments(text).size_bytes == len(text.encode())


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "€", "[", "é", "😀", "\u2019", "\n", "`", "\x1b"]), st.integers(1, 180)),
        max_size=8,
    )
)
def test_it_counts_as_a_phone_puts_characters_into_parts(runs):
    text = "".join(character * count for character, count in runs)
    assert counted(text) == by_hand(text)


@given(st.text(max_size=300))
def test_it_counts_any_text_as_a_phone_does(text):
    assert counted(text) == by_hand(text)


def test_what_makes_a_text_ucs2_is_named():
    assert outside_gsm7("it\u2019s 5 € \u2013 ok\u2019") == ["\u2019", "\u2013", "\u2019"]
    assert count_segments("\u2013").encoding is Encoding.UCS2
