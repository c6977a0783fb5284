from __future__ import annotations

import io
import json
import re
import tracemalloc
from typing import Any

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.omni import OmniInvite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Candidate, Result
from airflow_provider_omnichat.campaign.phone.location import country_of
from airflow_provider_omnichat.campaign.phone.number import normalise_number
from airflow_provider_omnichat.campaign.preview.markdown import markdown_of
from airflow_provider_omnichat.campaign.preview.statistics import Preview
from airflow_provider_omnichat.campaign.rows.files import rows_of_stream
from tests.support.reasons import why


def candidate(position: int, to: str = "41793026727", message: str = "Hello, follow us at <link>") -> Candidate:
    return Candidate(position, None, OmniInvite(to, message, "<link>", "KEY", "FACEBOOK"), "", to)


def left_out(position: int, reason: str | Reason | None, outcome: Outcome = Outcome.INVALID) -> Result:
    reason = why(reason) if isinstance(reason, str) else reason
    return Result(position, None, "41793026727", outcome, "2026-07-30T12:00:00+00:00", reason=reason)


def preview(*checked: Candidate | Result, **options: Any) -> Preview:
    made = Preview(**options)
    for one in checked:
        made.add(one)
    return made


def test_rows_are_counted_as_invites_or_by_how_they_ended():
    summary = preview(
        candidate(1),
        left_out(2, "x"),
        left_out(3, "y", Outcome.DUPLICATE),
        left_out(4, "y", Outcome.DUPLICATE),
        candidate(5),
    ).to_json()
    assert (summary["rows"], summary["invites"]) == (5, 2)
    assert summary["left_out"] == {"duplicate": 2, "invalid": 1}


def test_invites_are_counted_by_country():
    numbers = ["41793026727", "41793026728", "12042345678", "12025550123", "88123456789"]
    summary = preview(*[candidate(row, to) for row, to in enumerate(numbers, 1)]).to_json()
    assert summary["countries"] == {"CH": 2, "CA": 1, "US": 1, "001": 1}


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("447400123456", "GB"),
        ("447781123456", "GG"),
        ("390669812345", "VA"),
        ("393123456789", "IT"),
        ("77710009998", "KZ"),
        ("79123456789", "RU"),
        ("4155", "CH"),
        ("10000000000", "US"),
        ("447700900123", "GB"),
        ("9991234567", "ZZ"),
        ("1", "ZZ"),
        ("", "ZZ"),
        ("no", "ZZ"),
    ],
)
def test_countries_that_share_a_code_are_told_apart(number, country):
    assert country_of(number) == country


def test_the_country_is_the_one_that_phonenumbers_says():
    for region in phonenumbers.SUPPORTED_REGIONS:
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if example:
            number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            expected = phonenumbers.region_code_for_number(phonenumbers.parse(number))
            assert country_of(number[1:]) == expected, region


def test_segments_are_an_estimate_by_encoding():
    summary = preview(
        candidate(1, message="a" * 150 + "<link>"),
        candidate(2, message="it\u2019s \u2019 <link>"),
        candidate(3, message="b <link>"),
        candidate(4, message="a" * 4000 + "<link>"),
    ).to_json()["segments"]
    assert summary == {
        "estimate": True,
        "assumed_link_length": 40,
        "total": 2 + 1 + 1 + 27,
        "longest": 27,
        "too_long": 1,
        "by_encoding": {"GSM-7": {"invites": 3, "segments": 30}, "UCS-2": {"invites": 1, "segments": 1}},
        "outside_gsm7": {"\u2019": 1},
    }


def test_a_text_of_4000_bytes_is_too_long_with_a_link():
    fits, over = candidate(1, message="字" * 1310 + "<link>"), candidate(2, message="字" * 1330 + "<link>")
    summed = preview(fits, over)
    assert summed.to_json()["segments"]["too_long"] == 1
    assert "**1 over 25 SMS or 4,000 bytes with a link of that length: the vendor refuses these.**" in (
        markdown_of(summed)
    )


def test_what_a_person_should_look_at_is_counted_with_its_first_rows():
    rounded = [candidate(row, "41793000000") for row in range(1, 8)]
    words = [candidate(8, message="Hi NULL, <link>"), candidate(9, message="N/A: <link>, NULL"), candidate(10)]
    meant = candidate(11, message="Nullify nothing, Nan: <link> undefined")
    summary = preview(*rounded, *words, meant, template="{name}: <link> undefined")
    assert summary.to_json()["noticed"] == [
        {
            "what": "the number ends in five zeros or more; a spreadsheet may have rounded it",
            "invites": 7,
            "first_rows": [1, 2, 3, 4, 5],
        },
        {"what": "NULL is in the text, perhaps in place of a name", "invites": 2, "first_rows": [8, 9]},
        {"what": "N/A is in the text, perhaps in place of a name", "invites": 1, "first_rows": [9]},
    ]
    assert "| 7 | the number ends in five zeros or more; a spreadsheet may have rounded it | 1, 2, 3, 4, 5 |" in (
        markdown_of(summary)
    )
    assert "Look at these" not in markdown_of(preview(candidate(1), meant, template="undefined"))


def test_equal_reasons_are_counted_together_without_what_belongs_to_one_person():
    errors = []
    for number in ("+41 79 3", "+41 78 2", "+4177", "+41793026727123456789"):
        with pytest.raises(InvalidInviteError) as error:
            normalise_number(number)
        errors.append(error.value.reason)
    rows = [left_out(row, error) for row, error in enumerate(errors, 1)]
    broken = rows_of_stream(io.StringIO("{}\n" + "".join(f'{{"to": {"1" * n} 2}}\n' for n in range(1, 4))), "due.jsonl")
    rows += [left_out(row.position, row.reason) for row in broken if isinstance(row, BrokenRow)]
    rows += [left_out(8, None)]
    rows += [
        left_out(row, Reason(ReasonCode.ACCEPTED_EARLIER, "already invited", detail=f"dag/{row}"), Outcome.DUPLICATE)
        for row in (10, 11)
    ]
    reasons = [tuple(each.values()) for each in preview(*rows).to_json()["reasons"]]
    assert sorted(reasons, key=str) == [
        ("duplicate", "accepted_earlier", "already invited", 2),
        ("invalid", "not_a_number", "to: is not a phone number; write it like +41793026727", 1),
        ("invalid", "number_too_short", "to: is too short for a number of +41", 3),
        ("invalid", "row_unreadable", "is not JSON: Expecting ',' delimiter", 3),
        ("invalid", None, "", 1),
    ]


def test_the_ten_most_frequent_reasons_are_given_and_the_others_counted():
    made = preview(*[left_out(row, f"reason {chr(97 + row % 12)}") for row in range(30)])
    assert len(made.to_json()["reasons"]) == 10
    assert sum(one["rows"] for one in made.to_json()["reasons"]) == 26
    assert "| 4 | invalid | for other reasons |" in markdown_of(made)


def test_samples_show_what_differs_before_what_comes_first():
    rows = [candidate(row) for row in range(1, 20)]
    rows += [
        candidate(20, "436641234567"),
        candidate(21, message="\u2019 <link>"),
        candidate(22, message="a" * 200 + "<link>"),
    ]
    summary = preview(*rows).to_json()
    assert [one["row"] for one in summary["samples"]] == [1, 2, 20, 21, 22]
    assert summary["samples"][2] == {
        "row": 20,
        "to": "43664****67",
        "country": "AT",
        "message": "Hello, follow us at <link>",
        "encoding": "GSM-7",
        "segments": 1,
    }
    many = [candidate(row, message="a" * row + "<link>") for row in range(1, 3000, 100)]
    assert len(preview(*many).to_json()["samples"]) == 5


def test_samples_mask_numbers_keep_dates_and_end_somewhere():
    message = "Call +41 79 302 67 27 or 0041-79-302-67-28\nby 30.07.2026 10:00 or 2026-07-30, or 02.30.2026.10, no 12"
    (sample,) = preview(candidate(1, message=message)).to_json()["samples"]
    assert sample["message"].startswith(
        "Call +41 7****27 or 0041-****28\nby 30.07.2026 10:00 or 2026-07-30, or 02.30****10,"
    )
    (sample,) = preview(candidate(1, message="word \n" * 1000 + "<link>")).to_json()["samples"]
    assert len(sample["message"]) == 500


@example("", "100)0/0/0000", "")
@example("", "79 12.12.2026", "")
@example("", "12.12.2026 79", "")
@given(st.text(max_size=60), st.from_regex(r"\+?[1-9](?:[ .()/-]?[0-9]){8,13}", fullmatch=True), st.text(max_size=60))
def test_no_whole_number_leaves_it(before, number, after):
    reason = why("is wrong")._replace(subject=number, detail=f"{before} {number} {after}")
    made = preview(candidate(1, message=f"{before} {number} {after} <link>"), left_out(2, reason))
    digits = re.sub(r"\D", "", number)
    for text in (json.dumps(made.to_json()), markdown_of(made)):
        assert number not in text
        assert digits not in re.sub(r"[ .()/\\-]", "", text)
        assert "41793026727" not in text


def test_markdown_reads_well():
    rows: list[Candidate | Result] = [candidate(row) for row in range(1, 5)]
    rows += [candidate(5, "436641234567", "Servus, it\u2019s us: <link>"), left_out(6, "to: is missing")]
    assert (
        markdown_of(preview(*rows))
        == """\
## Dry run: nothing was sent

**5** people of 6 rows would be invited, about **5 SMS** to pay for. 1 is left out.

### Where

| Country | Invites | Share |
| --- | --- | --- |
| CH | 4 | 80.0% |
| AT | 1 | 20.0% |

### How long

| Encoding | Messages | SMS |
| --- | --- | --- |
| GSM-7 | 4 | 4 |
| UCS-2 | 1 | 1 |

An estimate: the vendor puts in a link of unknown length, assumed to be 40 characters. The longest message takes 1 SMS.

UCS-2 has 70 characters in an SMS where GSM-7 has 160. What makes messages UCS-2: \u2019 (U+2019) in 1.

### Who is left out, and why

| Rows | Outcome | Reason |
| --- | --- | --- |
| 1 | invalid | to: is missing |

### Examples

Row 1, to 41793\\*\\*\\*\\*27 (CH), 1 SMS:

> Hello, follow us at &lt;link&gt;

Row 2, to 41793\\*\\*\\*\\*27 (CH), 1 SMS:

> Hello, follow us at &lt;link&gt;

Row 3, to 41793\\*\\*\\*\\*27 (CH), 1 SMS:

> Hello, follow us at &lt;link&gt;

Row 4, to 41793\\*\\*\\*\\*27 (CH), 1 SMS:

> Hello, follow us at &lt;link&gt;

Row 5, to 43664\\*\\*\\*\\*67 (AT), 1 SMS:

> Servus, it\u2019s us: &lt;link&gt;
"""
    )


def test_an_empty_list_has_a_summary():
    made = preview()
    assert made.to_json()["invites"] == 0
    assert markdown_of(made) == "## Dry run: nothing was sent\n\n**0** people would be invited.\n"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("<script>alert(1)</script> & <link>", "> &lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;link&gt;"),
        ("**now** _free_ `x` <link>", "> \\*\\*now\\*\\* \\_free\\_ \\`x\\` &lt;link&gt;"),
        ("![x](http://a) [y](b) <link>", "> \\!\\[x\\](http://a) \\[y\\](b) &lt;link&gt;"),
        (
            "# a\n- b\n+ c\n1. d\n2) e\n=\n    f\n<link>",
            "> \\# a  \n> \\- b  \n> \\+ c  \n> 1\\. d  \n> 2\\) e  \n> \\=  \n> f  \n> ",
        ),
        ("a|b \\| ~~c~~ <link>", "> a\\|b \\\\\\| \\~\\~c\\~\\~ &lt;link&gt;"),
    ],
)
def test_samples_are_shown_and_not_rendered(message, shown):
    assert shown in markdown_of(preview(candidate(1, message=message)))


def test_reasons_do_not_break_the_table():
    text = markdown_of(preview(left_out(1, "a | b\n| c <b>")))
    assert "| 1 | invalid | a \\| b \\| c &lt;b&gt; |" in text


def test_many_countries_end_in_one_line():
    codes = [41, 43, 49, 33, 34, 351, 352, 353, 31, 32, 45, 46, 48, 420, 421, 36, 30]
    text = markdown_of(preview(*[candidate(row, f"{code}791234567") for row, code in enumerate(codes)]))
    assert "| 2 others | 2 | 11.8% |" in text


def test_memory_does_not_grow_with_the_list():
    made = Preview()
    tracemalloc.start()
    for row in range(20_000):
        made.add(candidate(row, f"4179{row:07d}", f"{chr(0x4E00 + row)} <link>"))
        made.add(left_out(row, f"reason {row}x{row}"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 600_000
    summary = made.to_json()
    assert summary["rows"] == 40_000
    assert len(json.dumps(summary)) < 5_000
    assert "| 19,990 | invalid | for other reasons |" in markdown_of(made)
