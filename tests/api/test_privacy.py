"""Addresses as they may be shown."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.api.privacy import (
    describe_list,
    has_password,
    is_address,
    plain_address,
    printable,
    scrub,
    secrets_in,
    shown_address,
)

SHOWN = {
    "/data/due.csv": "/data/due.csv",
    "lists/due.csv": "lists/due.csv",
    "s3://bucket/lists/due.csv": "s3://bucket/lists/due.csv",
    "s3://conn_id@bucket/due.csv": "s3://bucket/due.csv",
    "s3://key:secret@bucket/due.csv": "s3://bucket/due.csv",
    "s3://key:sec/r+et@bucket/due.csv": "s3://…",
    "s3://key:sec?ret@bucket/due.csv": "s3://…",
    "s3://key:sec#ret@bucket/due.csv": "s3://…",
    "s3://key:12/ret@bucket/due.csv": "s3://…",
    "s3://key:p@ss@bucket/due.csv": "s3://bucket/due.csv",
    "https://token@host:8443/due.csv": "https://host:8443/due.csv",
    "https://host/due.csv?X-Amz-Signature=a/b@c": "https://host/due.csv",
    "https://host/due.csv#token=a": "https://host/due.csv",
    "https://host?sig=a": "https://host",
    "http://[::1]:8080/due.csv": "http://[::1]:8080/due.csv",
    "abfs://lists@account.dfs.core.windows.net/due.csv?sig=a": "abfs://account.dfs.core.windows.net/due.csv",
    "simplecache::s3://key:secret@bucket/due.csv": "simplecache::s3://bucket/due.csv",
    "s3://bucket/a@b.csv": "s3://bucket/a@b.csv",
    "/data/41793026727.csv": "/data/41793****27.csv",
    "/data/+41 79 302 67 27.csv": "/data/+41 7****27.csv",
    "/data/079-302-67-27/due.csv": "/data/079-3****27/due.csv",
    "/data/20261127/due.csv": "/data/20****7/due.csv",
    "/data/2026/11/27/due.csv": "/data/2026/11/27/due.csv",
    "/data/2026-11-27/due.csv": "/data/2026-11-27/due.csv",
    "/r/manual__2026-11-27T09:00:00.123456+00:00_Ab/x": "/r/manual__2026-11-27T09:00:00.123456+00:00_Ab/x",
    "/r/manual__2026-11-27T09_00_00.123456+00_00/x": "/r/manual__2026-11-27T09_00_00.123456+00_00/x",
    "/r/2026-11-27-4179302672/x": "/r/2026-****72/x",
    "/data/due.csv\nto,name": "/data/due.csv to,name",
}


@pytest.mark.parametrize(("address", "shown"), SHOWN.items())
def test_an_address_is_shown_without_query_user_password_and_number(address, shown):
    assert shown_address(address) == shown
    assert shown_address(Path(address)) == shown or "://" in address


WORDS = st.text("abcXYZ019/+=:@?#._-&", max_size=12)


@given(
    st.sampled_from(["s3", "https", "sftp"]), WORDS, WORDS, WORDS, st.sampled_from(["", "?sig=S1GNATURE", "#S1GNATURE"])
)
def test_whatever_a_password_is_made_of_nothing_of_it_is_shown(scheme, before, behind, path, query):
    shown = shown_address(f"{scheme}://user:{before}PASSW0RD{behind}@host/{path}{query}")
    assert "PASSW0RD" not in shown
    assert "S1GNATURE" not in shown
    assert "user" not in shown


@given(st.text("0123456789 -./_:T+é٣", max_size=40))
def test_no_run_of_seven_digits_is_shown(text):
    digits = 0
    for character in shown_address(f"/data/{text}.csv"):
        digits = digits + 1 if character.isdigit() else 0
        assert digits < 7


@pytest.mark.parametrize(
    ("address", "secrets"),
    [
        ("s3://user:secret@bucket/x.csv", {"user:secret", "user", "secret"}),
        ("https://token@host/x.csv", {"token"}),
        ("https://host/x.csv?a=1&X-Amz-Signature=abcd", {"a=1&X-Amz-Signature=abcd", "abcd"}),
        ("/data/x.csv", set()),
        ("s3://bucket/x.csv", set()),
    ],
)
def test_what_is_secret_in_an_address(address, secrets):
    assert set(secrets_in(address)) == secrets


@pytest.mark.parametrize(
    ("address", "has"),
    [
        ("s3://key:secret@bucket/x.csv", True),
        ("s3://key:sec/ret@bucket/x.csv", True),
        ("s3://conn_id@bucket/x.csv", False),
        ("https://host:8443/a@b.csv", False),
        ("http://[::1]:80/x.csv", False),
        ("/data/a:b@c.csv", False),
    ],
)
def test_which_addresses_have_a_password(address, has):
    assert has_password(address) is has


@pytest.mark.parametrize(
    "text",
    [
        "/data/due.csv",
        "due.csv",
        "lists/due 1.JSONL.GZ",
        "./due",
        "s3://bucket/due",
        "https://h/due.csv?a=b",
        "/data/due.xlsx",
        "s3://bucket/due 1.csv",
    ],
)
def test_what_is_an_address(text):
    assert is_address(text)
    assert describe_list(text) == plain_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[{'to': '+41793026727', 'page': 'https://x.ch/a.csv'}]",
        '{"to": "/data/due.csv"}',
        "('a', '/b.csv')",
        "<generator object at 0x7f>",
        "to,name\n+41793026727,/data/due.csv",
        "+41793026727",
        "Hello, see https://x.ch/",
        "https://x.ch is where we meet",
        "/start now",
        "vreni@example.com",
        "None",
        "due.xlsx",
    ],
)
def test_what_is_any_other_text(text):
    assert not is_address(text)
    assert describe_list(text) == f"<text of {len(text)} characters>"


def test_how_lists_are_described():
    assert describe_list([{"to": 1}, {"to": 2}]) == "<list of 2 rows>"
    assert describe_list([[{"to": 1}], [], [{"to": 2}, {"to": 3}]]) == "<list of 3 rows>"
    assert describe_list(("a", "b"), of="values") == "<tuple of 2 values>"
    assert describe_list({"a": 1}, of="values") == "<dict of 1 values>"
    assert describe_list({"to": 1, "name": 2}) == "<dict of 2 fields>"
    assert describe_list(iter([])) == "<list_iterator>"
    assert describe_list(Path("/data/due.csv")) == "/data/due.csv"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no https://u:p@h/x.csv?sig=a here", "no https://h/x.csv here"),
        ("403, url='https://h/x.csv?X-Amz-Signature=abc'", "403, url='https://h/x.csv'"),
        (
            "Max retries exceeded with url: /x.csv?X-Amz-Signature=abc (Caused by X)",
            "Max retries exceeded with url: /x.csv (Caused by X)",
        ),
        ("is it right? yes, a=b", "is it right? yes, a=b"),
    ],
)
def test_a_text_of_a_library_loses_what_is_secret_in_its_addresses(text, shown):
    assert scrub(text) == shown


def test_a_long_text_is_read_once_and_not_from_each_of_its_characters():
    for piece in ("a:", "?", "s3://", "://", "1-", "?a=", "a@", "2026-11-27T"):
        text = piece * 200_000  # from each: for hours
        scrub(text)
        shown_address(text)
        is_address(text)


def test_a_huge_text_is_cut_before_it_is_looked_through():
    """It blocks the event loop meanwhile: 1 MB took a second of CPU, and now takes a hundredth."""
    secrets = ["41793026727", "Hello Vreni, follow us at <link>", "pass-word-1"]
    begin = time.process_time()
    for piece in ("ab 12 ", "1", "x http://a:b@c/ ", "?", "a:"):
        assert len(scrub(piece * (1_000_000 // len(piece)), secrets)) <= 300
    assert time.process_time() - begin < 2


@pytest.mark.parametrize("length", range(3960, 4010, 3))
def test_where_a_long_text_is_cut_nothing_secret_is_left(length):
    """Blanks are left out, so that what stands before the cut is shown."""
    for secret in ("https://some-token@host/x", "41793026727"):
        shown = scrub(" " * length + secret + " end" * 100, ["41793026727"])
        assert not any(part in shown for part in ("some", "4179302"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1215f543ab19-345f-adbd-12ad31451ed25f35", "1215f543ab19-345f-adbd-12ad31451ed25f35"),
        ("38480492980504340031", "38480492980504340031"),
        ("m\r\nINFO forged", "m INFO forged"),
        ("\x1b[31m\u202e\u200b\ud83d m", "[31m m"),
        ("for-41793026727-and +41 79 302 67 27", "for-***-and +***"),
        ("m" * 400, "m" * 299 + "…"),
    ],
)
def test_an_id_is_shown_in_one_line_without_the_number_and_else_as_it_is(text, shown):
    assert printable(text, ["41793026727", ""]) == shown
