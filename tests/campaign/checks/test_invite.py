"""Bad input: what each invite and each connection that must not be used is answered with, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_omnichat.api.account import Account
from airflow_provider_omnichat.api.errors import AccountError, InvalidInviteError
from tests.support.row_checks import invite

NO_CODE = "has no country code; write it like +41793026727, or give default_region"
HALF = "has half a character in it (a lone surrogate); fix the source's encoding"
ODD_PATH = "is blank, dots or has unprintable characters; copy it again from the vendor's portal"

TOO_LONG = "message: is too long, the vendor takes at most 25 SMS and 4,000 bytes"
BAD_INVITES: list[tuple[dict[str, Any], str]] = [
    ({"to": None}, "to: is missing"),
    ({"to": ""}, "to: is missing"),
    ({"to": " \n "}, "to: is missing"),
    ({"to": "'"}, "to: is blank"),
    ({"to": True}, "to: must be one phone number as a text, is a bool"),
    (
        {"to": 41793026727.5},
        "to: is a float that is no whole number, or has an exponent; give it as a text or as an integer (BIGINT,"
        " NUMERIC), so that no digit is lost",
    ),
    (
        {"to": 41793030000.0},
        "to: looks like a float that was rounded, to 32 bits or to nine digits or fewer; give it as a",
    ),
    (
        {"to": "41793028096.0"},
        "to: looks like a float that was rounded, to 32 bits or to nine digits or fewer; give it",
    ),
    ({"to": "#N/A"}, "to: is missing"),
    ({"to": "#DIV/0!"}, "to: #D****! is what a spreadsheet shows for an error, such as #REF!; fix the sheet"),
    ({"to": "########"}, "to: ##****# is what a spreadsheet shows for an error, such as #REF!; fix the sheet"),
    ({"to": "-4.2E+11"}, "to: -4****1 was shortened by a spreadsheet, as 4.18E+10; format its column as text there"),
    ({"to": float("nan")}, "to: is missing"),
    ({"message": float("nan")}, "message: is missing"),
    ({"to": ["+41793026727"]}, "to: must be one phone number as a text, is a list"),
    ({"to": b"+41793026727"}, "to: must be one phone number as a text, is a bytes"),
    ({"to": "079 302 67 27"}, f"to: 079 3****27 {NO_CODE}"),
    ({"to": "+41 79"}, "to: +4****9 is too short for a number of +41"),
    ({"to": "+41793026727793026727"}, "to: +4179****27 is not a phone number; write it like"),
    ({"to": "+41 79 302 67 27" + " " * 30 + "1"}, "to: is not a phone number: 47 characters; give one number only"),
    ({"to": "+999 1234567"}, "to: +999 ****67 has no country code that exists; write it like +41793026727"),
    ({"to": "+"}, "to: **** is not a phone number; write it like +41793026727"),
    ({"to": "0000000000"}, "to: 00000****00 has no country code that exists; write it like +41793026727"),
    ({"to": "n/a"}, "to: **** has letters in it; only digits, a plus and separators are taken"),
    ({"to": "0800 FLOWERS"}, "to: 0800 ****RS has letters in it; only digits, a plus and separators are taken"),
    ({"to": "+41793026727 ext. 5"}, "to: +4179**** 5 has letters in it; only digits, a plus and separators are taken"),
    ({"to": "+41793026727;5"}, "to: +4179****;5 is more than one plain number; give one number, without an extension"),
    ({"to": "+41793026727, +41793026728"}, "to: +4179****28 is more than one plain number; give one number,"),
    ({"to": "+41793026727+41793026728"}, "to: +4179****28 is more than one plain number; give one number,"),
    ({"to": "{{ to }}"}, "to: {{****} has letters in it; only digits, a plus and separators are taken"),
    ({"to": "12", "default_region": "CH"}, "to: **** is too short for a number of +41"),
    ({"default_region": "XX"}, "default_region: is not a country; write two letters such as CH"),
    ({"default_region": "Switzerland"}, "default_region: is not a country; write two letters such as CH"),
    ({"default_region": "41"}, "default_region: is not a country; write two letters such as CH"),
    ({"message": None}, "message: is missing"),
    ({"message": ""}, "message: is missing"),
    ({"message": " \t\n"}, "message: is missing"),
    ({"message": 5}, "message: must be a text, is a int"),
    ({"message": b"<link>"}, "message: must be a text, is a bytes"),
    ({"message": "<link> \ud83d"}, f"message: {HALF}"),
    ({"message": "<link>\x00"}, "message: has a NUL character in it; fix the source's encoding"),
    ({"message": "Hello"}, "message: does not contain the link placeholder, so that the SMS would have no link: '<l"),
    (
        {"message": "Hello <LINK>"},
        "message: does not contain the link placeholder, so that the SMS would have no link: '<link>'",
    ),
    ({"message": "字" * 1340 + "<link>"}, f"{TOO_LONG}: 4,020 bytes in UTF-8 without the link."),
    ({"message": "a" * 3826 + "<link>"}, f"{TOO_LONG}: 26 SMS in GSM-7 without the link."),
    ({"message": "ж" * 1676 + "<link>"}, f"{TOO_LONG}: 26 SMS in UCS-2 without the link."),
    ({"link_placeholder": ""}, "link_placeholder: is empty"),
    ({"link_placeholder": " "}, "link_placeholder: is empty"),
    ({"link_placeholder": None}, "link_placeholder: is missing"),
    (
        {"link_placeholder": "x" * 200},
        "message: does not contain the link placeholder, so that the SMS would have no link: (200",
    ),
    ({"application_key": None}, "application_key: is missing; give it here or in the connection's extra"),
    ({"application_key": ""}, "application_key: is missing; give it here or in the connection's extra"),
    ({"application_key": " "}, f"application_key: {ODD_PATH}"),
    ({"application_key": ".."}, f"application_key: {ODD_PATH}"),
    ({"application_key": "KEY\nX"}, f"application_key: {ODD_PATH}"),
    ({"application_key": "\udc80"}, f"application_key: {ODD_PATH}"),
    ({"application_key": 7}, "application_key: must be a text, is a int"),
    ({"integration_type": "."}, f"integration_type: {ODD_PATH}"),
    ({"integration_type": ["FACEBOOK"]}, "integration_type: must be a text, is a list"),
]


@pytest.mark.parametrize(("given", "said"), BAD_INVITES, ids=[ascii(given)[:60] for given, _ in BAD_INVITES])
def test_a_bad_invite_is_refused_with_words_that_help(given, said):
    with pytest.raises(InvalidInviteError) as raised:
        invite(**given)
    assert str(raised.value).startswith(said)
    assert raised.value.reason.field == said.partition(":")[0]
    assert "3026727" not in repr(raised.value).replace("like +41793026727", "")


def test_a_good_invite_keeps_the_text_as_it_is_but_for_white_space_at_its_ends():
    message = " \u00a0 Grüezi\n<link>  <link> \r\n"
    assert invite(message=message).message == "Grüezi\n<link>  <link>"


NOT_A_HOST = "host: is not a host name or URL; write it like xxxxx.api.infobip.com"
CREDENTIALS = "host: has credentials in it; put them into login and password, where they are masked"
QUERY = "host: has a query or fragment; only scheme, host, port and a path are allowed"
HTTP = "host: plain http would show credentials and numbers to the network; use https, or set allow_http"
ODD_KEY = "password: an API key has no spaces around it, line breaks or special characters; copy it again"
TIMEOUT = "timeout: must be a number of seconds above 0, at most 3600"

BAD_CONNECTIONS: list[tuple[dict[str, Any], str]] = [
    ({"host": "https://user:secret@api.infobip.com"}, CREDENTIALS),
    ({"host": "user@api.infobip.com"}, CREDENTIALS),
    ({"host": "https://api.infobip.com/?a=1"}, QUERY),
    ({"host": "https://api.infobip.com/#x"}, QUERY),
    ({"host": "ftp://api.infobip.com"}, "host: scheme 'ftp' is not allowed; use https"),
    ({"host": "file:///etc/passwd"}, "host: scheme 'file' is not allowed; use https"),
    ({"host": "http://api.infobip.com"}, HTTP),
    ({"host": "http://localhost.example.com"}, HTTP),
    ({"host": "http://127.0.0.1.example.com"}, HTTP),
    ({"host": "http://api.infobip.com", "extra": {"allow_http": "false"}}, HTTP),
    ({"host": "http://api.infobip.com", "extra": {"allow_http": "maybe"}}, "allow_http: must be true or false"),
    ({"host": "api.infobip.com:8443", "port": 443}, "host: names port 8443, but the connection's port is 443; keep"),
    ({"host": "api.infobip.com:x"}, NOT_A_HOST),
    ({"host": "api.infobip.com:99999"}, NOT_A_HOST),
    ({"port": 70000}, "port: 70000 is not between 1 and 65535"),
    ({"port": -1}, "port: -1 is not between 1 and 65535"),
    ({"host": "api infobip com"}, NOT_A_HOST),
    ({"host": "api.info\nbip.com"}, NOT_A_HOST),
    ({"host": "https://"}, NOT_A_HOST),
    ({"host": "[::1"}, NOT_A_HOST),
    ({"host": "https://api.infobip.com/a/../b"}, "host: its path has dots or unprintable characters as a part"),
    ({"extra": {"timeout": 10**400}}, TIMEOUT),
    ({"extra": {"timeout": "9" * 400}}, TIMEOUT),
    ({"extra": {"auth_type": "digest"}}, "auth_type: must be one of basic, api_key, oauth2"),
    ({"extra": {"auth_type": ["basic"]}}, "auth_type: must be one of basic, api_key, oauth2"),
    ({"login": None}, "login: is empty; with auth_type basic it holds the user name"),
    ({"login": "a:b"}, "login: a user name for basic authentication cannot have a colon in it"),
    ({"password": ""}, "password: is empty; with auth_type basic it holds the password"),
    ({"password": None, "extra": {"auth_type": "api_key"}}, "password: is empty; with auth_type api_key it holds the"),
    ({"login": "", "extra": {"auth_type": "oauth2"}}, "login: is empty; with auth_type oauth2 it holds the client id"),
    ({"password": "key ", "extra": {"auth_type": "api_key"}}, ODD_KEY),
    ({"password": " key", "extra": {"auth_type": "api_key"}}, ODD_KEY),
    ({"password": "kéy", "extra": {"auth_type": "api_key"}}, ODD_KEY),
    (
        {"password": "k\r\nX-Evil: 1", "extra": {"auth_type": "api_key"}},
        "password: has a line break or a NUL character inside; copy it again",
    ),
    ({"password": "secret\udc80"}, "password: has half a character in it (a lone surrogate); fix the source's"),
    ({"login": "user\udc80"}, "login: has half a character in it (a lone surrogate); fix the source's"),
    ({"extra": {"timeout": "soon"}}, TIMEOUT),
    ({"extra": {"timeout": 0}}, TIMEOUT),
    ({"extra": {"timeout": "nan"}}, TIMEOUT),
    ({"extra": {"timeout": True}}, TIMEOUT),
    ({"extra": {"timeout": 3601}}, TIMEOUT),
    ({"extra": {"timeout": [1]}}, TIMEOUT),
    ({"extra": {"application_key": ".."}}, f"application_key: {ODD_PATH}"),
    ({"extra": {"application_key": 7}}, "application_key: must be a text, is a int"),
    ({"extra": {"integration_type": "A\nB"}}, f"integration_type: {ODD_PATH}"),
]


def account(**given: Any) -> Account:
    fields: dict[str, Any] = {"host": None, "port": None, "login": "user", "password": "secret", "extra": {}}
    return Account.from_fields(**{**fields, **given})


@pytest.mark.parametrize(("given", "said"), BAD_CONNECTIONS, ids=[ascii(given)[:60] for given, _ in BAD_CONNECTIONS])
def test_a_bad_connection_is_refused_with_words_that_help(given, said):
    with pytest.raises(AccountError) as raised:
        account(**given)
    assert str(raised.value).startswith(said)
    assert "secret" not in repr(raised.value).replace("client secret", "")


def test_all_problems_of_a_connection_are_named_at_once():
    with pytest.raises(AccountError) as raised:
        account(host="ftp://x", login="", extra={"timeout": "x", "application_key": "."})
    assert [part.partition(":")[0] for part in str(raised.value).split("; ") if ":" in part][:4] == [
        "host",
        "login",
        "application_key",
        "timeout",
    ]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "https://api.infobip.com"),
        ({"host": ""}, "https://api.infobip.com"),
        ({"host": " xxxxx.api.infobip.com "}, "https://xxxxx.api.infobip.com"),
        ({"host": "https://API.infobip.com/"}, "https://api.infobip.com"),
        ({"host": "api.infobip.com", "port": 8443}, "https://api.infobip.com:8443"),
        ({"host": "api.infobip.com:8443", "port": 8443}, "https://api.infobip.com:8443"),
        ({"host": "api.infobip.com", "port": 0}, "https://api.infobip.com"),
        ({"host": "https://gw.example.com/omni/"}, "https://gw.example.com/omni"),
        ({"host": "http://localhost", "port": 8099}, "http://localhost:8099"),
        ({"host": "http://127.9.9.9"}, "http://127.9.9.9"),
        ({"host": "http://[::1]", "port": 8099}, "http://[::1]:8099"),
        ({"host": "https://[2001:db8::1]:8443"}, "https://[2001:db8::1]:8443"),
        ({"host": "http://gw.example.com", "extra": {"allow_http": "True"}}, "http://gw.example.com"),
        ({"host": "http://gw.example.com", "extra": {"allow_http": 1}}, "http://gw.example.com"),
    ],
)
def test_a_host_is_taken_as_people_write_it(given, url):
    assert account(**given).base_url == url


def test_extras_of_a_uri_are_texts_and_are_read():
    made = account(extra={"timeout": "2.5", "application_key": " KEY ", "integration_type": "", "auth_type": ""})
    assert (made.timeout, made.application_key, made.integration_type) == (2.5, "KEY", None)


def test_no_secret_is_in_the_repr_of_an_account():
    for auth_type in ("basic", "api_key", "oauth2"):
        made = account(password="p4ssw0rd-x", extra={"auth_type": auth_type})
        assert "p4ssw0rd-x" not in repr(made)
        assert "cDRzc3cwcmQ" not in repr(made)
