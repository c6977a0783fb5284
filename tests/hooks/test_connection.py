"""A connection made by URI, by JSON, by environment variable and by Airflow's own classes is the same connection."""

from __future__ import annotations

import json
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from airflow_provider_omnichat.api.errors import AccountError
from airflow_provider_omnichat.hooks.connection_form import CONN_FIELDS, UI_FIELD_BEHAVIOUR
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from tests.support.airflow_versions import AIRFLOW

SECRET = "p@ss/wörd:1?&%"
EXTRA = {"auth_type": "basic", "application_key": "KEY", "integration_type": "TELEGRAM", "timeout": 7}


def account_of(monkeypatch, value: str):
    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", value)
    account = OmnichatHook().get_conn().account
    return (
        account.base_url,
        account.credentials.authorization,
        account.application_key,
        account.integration_type,
        account.timeout,
    )


FORMS = {
    "JSON": json.dumps(
        {
            "conn_type": "omnichat",
            "host": "gw.example.com",
            "port": 8443,
            "login": "me",
            "password": SECRET,
            "extra": EXTRA,
        }
    ),
    "JSON with texts": json.dumps(
        {
            "conn_type": "omnichat",
            "host": "https://gw.example.com:8443",
            "login": "me",
            "password": SECRET,
            "extra": json.dumps({**EXTRA, "timeout": "7"}),
        }
    ),
    "JSON with a port that is a text": json.dumps(
        {
            "conn_type": "omnichat",
            "host": "gw.example.com",
            "port": "8443",
            "login": "me",
            "password": SECRET,
            "extra": EXTRA,
        }
    ),
    "URI": f"omnichat://me:{quote(SECRET, safe='')}@gw.example.com:8443/?application_key=KEY&integration_type=TELEGRAM"
    "&timeout=7",
    "URI with a scheme in the host": f"omnichat://me:{quote(SECRET, safe='')}@https%3A%2F%2Fgw.example.com:8443"
    "/?application_key=KEY&integration_type=TELEGRAM&timeout=7&allow_http=false",
    "URI with extra in one": f"omnichat://me:{quote(SECRET, safe='')}@gw.example.com:8443/?__extra__="
    + quote(json.dumps(EXTRA), safe=""),
}


@pytest.mark.parametrize("value", FORMS.values(), ids=FORMS)
def test_every_form_makes_the_same_account(monkeypatch, value):
    import base64

    header = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert account_of(monkeypatch, value) == ("https://gw.example.com:8443", header, "KEY", "TELEGRAM", 7.0)


# the schema, and the path of a URI


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        ("omnichat://me:secret@gw.example.com/https", "https://gw.example.com"),
        ("omnichat://me:secret@127.0.0.1:8080/http", "http://127.0.0.1:8080"),
        ("omnichat://me:secret@gw.example.com/gateway/omni/", "https://gw.example.com/gateway/omni"),
        ("omnichat://me:secret@gw.example.com:8443/gateway?timeout=7", "https://gw.example.com:8443/gateway"),
        ("omnichat://me:secret@gw.example.com/a%20b%3Fc%23d", "https://gw.example.com/a%20b%3Fc%23d"),
        ("omnichat://me:secret@https%3A%2F%2Fgw.example.com/base", "https://gw.example.com/base"),
        ("omnichat://me:secret@gw.example.com", "https://gw.example.com"),
        ("omnichat://me:secret@gw.example.com/", "https://gw.example.com"),
    ],
)
def test_the_path_of_a_uri_counts(monkeypatch, uri, base_url):
    assert account_of(monkeypatch, uri)[0] == base_url


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"schema": "https"}, "https://gw.example.com"),
        ({"schema": " HTTPS "}, "https://gw.example.com"),
        ({"schema": "http", "host": "localhost"}, "http://localhost"),
        ({"schema": "/gateway/"}, "https://gw.example.com/gateway"),
        ({"schema": "https", "host": "https://gw.example.com/base"}, "https://gw.example.com/base"),
    ],
)
def test_the_schema_counts(monkeypatch, fields, base_url):
    given = {"conn_type": "omnichat", "host": "gw.example.com", "login": "me", "password": SECRET, **fields}
    assert account_of(monkeypatch, json.dumps(given))[0] == base_url


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"schema": "http"}, "plain http would show credentials"),
        ({"schema": "http", "host": "https://gw.example.com"}, "begins with https://, but the schema is http"),
        ({"schema": "https", "host": "http://localhost"}, "begins with http://, but the schema is https"),
        ({"schema": "base", "host": "gw.example.com/other"}, "host: has a path, and so has the schema"),
        ({"schema": "a/../b"}, "schema: must be http, https or the path"),
        ({"schema": "a//b"}, "schema: must be http, https or the path"),
        ({"schema": "a\\b"}, "schema: must be http, https or the path"),
        ({"schema": "a\nb"}, "schema: must be http, https or the path"),
    ],
)
def test_a_schema_that_cannot_count_is_refused(monkeypatch, fields, words):
    given = {"conn_type": "omnichat", "host": "gw.example.com", "login": "me", "password": SECRET, **fields}
    with pytest.raises(AccountError, match=words):
        account_of(monkeypatch, json.dumps(given))


# a line break behind a secret


@pytest.mark.parametrize("auth_type", ["basic", "api_key", "oauth2"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_a_line_break_behind_a_secret_is_left_out_with_one_warning(monkeypatch, auth_type, end):
    given = {"conn_type": "omnichat", "host": "gw.example.com", "login": "me", "extra": {"auth_type": auth_type}}
    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", json.dumps({**given, "password": f"my-secret-1{end}"}))
    hook, said = OmnichatHook(), []
    monkeypatch.setattr(OmnichatHook, "log", SimpleNamespace(warning=lambda text, *of: said.append(text % of)))
    credentials = hook.get_conn().account.credentials
    assert "my-secret-1" in credentials.secrets
    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", json.dumps({**given, "password": "my-secret-1"}))
    assert OmnichatHook().get_conn().account.credentials == credentials
    assert hook.account is hook.account
    assert said == [
        "Connection 'omnichat_default': password: ended in a line break, which is left out; store it without"
    ]


@pytest.mark.parametrize("auth_type", ["basic", "api_key", "oauth2"])
@pytest.mark.parametrize("secret", ["my\nsecret", "my\rsecret", "my\0secret", "\nmy-secret"])
def test_a_line_break_inside_a_secret_is_refused_and_not_shown(monkeypatch, auth_type, secret):
    given = {"conn_type": "omnichat", "host": "h", "login": "me", "password": secret, "extra": {"auth_type": auth_type}}
    with pytest.raises(AccountError, match="password: ") as raised:
        account_of(monkeypatch, json.dumps(given))
    assert "secret" not in str(raised.value).replace("client secret", "")


def test_a_line_break_behind_a_login_is_left_out_too(monkeypatch):
    given = {"conn_type": "omnichat", "host": "gw.example.com", "login": "me\n", "password": SECRET}
    without = {**given, "login": "me"}
    assert account_of(monkeypatch, json.dumps(given)) == account_of(monkeypatch, json.dumps(without))


@pytest.mark.skipif(AIRFLOW < (3, 0), reason="airflow.sdk came with Airflow 3")
def test_airflows_own_connection_survives_a_round_trip(monkeypatch):
    from airflow.sdk import Connection

    made = Connection(
        conn_id="x",
        conn_type="omnichat",
        host="gw.example.com",
        port=8443,
        login="me",
        password=SECRET,
        extra=json.dumps(EXTRA),
    )
    assert account_of(monkeypatch, made.get_uri()) == account_of(monkeypatch, FORMS["JSON"])


@pytest.mark.parametrize("extra", ["[1]", '"text"', "7", "{broken"])
def test_an_extra_that_is_no_object_is_an_error_or_ignored_and_shows_no_secret(monkeypatch, extra):
    given = {"conn_type": "omnichat", "host": "gw.example.com", "login": "me", "password": SECRET, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", json.dumps(given))
    try:
        OmnichatHook().get_conn()
    except Exception as raised:
        shown = f"{raised} {raised!r}"
    else:
        shown = ""
    assert SECRET not in shown


def test_an_account_error_names_the_connection(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BAD_ONE", '{"conn_type": "omnichat", "host": "ftp://x"}')
    with pytest.raises(AccountError, match="Connection 'bad_one' cannot be used: host: scheme 'ftp' is not allowed"):
        OmnichatHook("bad_one").get_conn()


def test_extras_that_are_not_known_are_named_not_used_and_never_become_headers(wire, hook_for, caplog):
    server = wire()
    hook_for(server, extra={"X-Evil": "secret-value", "headers": {"A": "b"}}).send_invite("+41793026727", "Hi <link>")
    assert "x-evil" not in server.seen[0].headers
    assert "secret-value" not in caplog.text


def test_the_form_is_defined_once(monkeypatch):
    from airflow_provider_omnichat.get_provider_info import get_provider_info

    (info,) = get_provider_info()["connection-types"]
    assert info["conn-fields"] is CONN_FIELDS
    assert info["ui-field-behaviour"] is UI_FIELD_BEHAVIOUR
    legacy = OmnichatHook.get_ui_field_behaviour()
    assert {name.replace("_", "-"): value for name, value in legacy.items()} == UI_FIELD_BEHAVIOUR
    for field in CONN_FIELDS.values():
        assert field["label"]
        assert field["description"]


def test_every_field_of_the_form_is_one_that_an_account_reads(hook_for, caplog):
    good = {
        "auth_type": "basic",
        "application_key": "K",
        "integration_type": "F",
        "timeout": 30,
        "allow_http": False,
        "sender": "ACME",
        "idempotent_sending": True,
        "idempotency_grace": 900,
        "log_delay": 600,
    }
    assert set(good) == set(CONN_FIELDS)
    hook_for("https://gw.example.com", extra=good).get_conn()
    assert "not known" not in caplog.text


def test_older_airflow_gets_real_widgets():
    pytest.importorskip("flask_appbuilder", reason="only Airflow 2 asks for widgets, and brings what they need")
    pytest.importorskip("wtforms", reason="only Airflow 2 asks for widgets, and brings what they need")
    from werkzeug.datastructures import MultiDict  # type: ignore[import-not-found,unused-ignore]
    from wtforms import Form  # type: ignore[import-untyped,unused-ignore]

    widgets = OmnichatHook.get_connection_form_widgets()
    assert set(widgets) == set(CONN_FIELDS)
    form = type("F", (Form,), widgets)(MultiDict({"timeout": "30", "auth_type": "basic"}))
    for name, field in CONN_FIELDS.items():
        assert form[name].label.text == field["label"]
        assert form[name].description == field["description"]
    assert form.validate(), form.errors
    assert not type("F", (Form,), widgets)(MultiDict({"auth_type": "digest"})).validate()


needs_any_extra = pytest.mark.skipif(
    (3, 0) <= AIRFLOW < (3, 2), reason="Airflow 3.0 and 3.1 take no extra from the environment that is no JSON object"
)


@needs_any_extra
@pytest.mark.parametrize("extra", ['"{\\"application_key\\": \\"K\\"}"', '{"application_key": "K"}'])
def test_an_object_inside_a_text_is_an_extra(monkeypatch, extra):
    made = {"conn_type": "omnichat", "host": "gw.example.com", "login": "me", "password": SECRET, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", json.dumps(made))
    assert OmnichatHook().account.application_key == "K"


@needs_any_extra
@pytest.mark.parametrize("extra", ["null", '""', ""])
def test_an_extra_that_says_nothing_is_none(monkeypatch, extra):
    made = {"conn_type": "omnichat", "host": "gw.example.com", "login": "me", "password": SECRET, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", json.dumps(made))
    assert OmnichatHook().account.application_key is None


@needs_any_extra
@pytest.mark.parametrize(
    ("extra", "kind"),
    [("[1]", "list"), ('[{"a": 1}]', "list"), ("5", "int"), ("true", "bool"), ('"abc"', "str"), ('"[1]"', "list")],
)
def test_an_extra_that_is_no_object_is_refused(monkeypatch, extra, kind):
    made = {"conn_type": "omnichat", "host": "gw.example.com", "login": "me", "password": SECRET, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_DEFAULT", json.dumps(made))
    with pytest.raises(AccountError, match=f"extra must be a JSON object, .* and is a {kind}$"):
        OmnichatHook().get_conn()
    is_fine, said = OmnichatHook().test_connection()
    assert not is_fine
    assert "extra must be a JSON object" in said
