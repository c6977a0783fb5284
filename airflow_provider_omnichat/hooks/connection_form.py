"""The form of an ``omnichat`` connection: Airflow 3.2+ reads it from the provider info, older ones ask the hook."""

from __future__ import annotations

from typing import Any

CONN_FIELDS: dict[str, dict[str, Any]] = {
    "auth_type": {
        "label": "Authentication",
        "description": (
            "basic: user name and password. api_key: the key as password."
            " oauth2: client id as user name, client secret as password."
        ),
        "schema": {"type": ["string", "null"], "enum": ["basic", "api_key", "oauth2"], "default": "basic"},
    },
    "application_key": {
        "label": "Application key",
        "description": "OMNI application of tasks that name none. Not needed by tasks with a link of their own.",
        "schema": {"type": ["string", "null"]},
    },
    "integration_type": {
        "label": "Integration type",
        "description": "Channel of tasks that name none. The vendor has others, too.",
        "schema": {"type": ["string", "null"], "examples": ["FACEBOOK", "TELEGRAM"]},
    },
    "sender": {
        "label": "Sender",
        "description": "What phones show, for tasks with a link of their own: 3-11 letters and digits, or 3-14 digits.",
        "schema": {"type": ["string", "null"]},
    },
    "idempotent_sending": {
        "label": "Idempotent sending",
        "description": "Repeat invites in doubt, with a link of yours. Only if the vendor has enabled it for you.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
    "idempotency_grace": {
        "label": "Grace period (seconds)",
        "description": "For how long the vendor recognises a repeat; ask its support.",
        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 172800, "default": 900},
    },
    "log_delay": {
        "label": "Log delay (seconds)",
        "description": "After how long an SMS that was taken is in the vendor's logs; a look-up waits for it.",
        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 172800, "default": 600},
    },
    "timeout": {
        "label": "Time-out (seconds)",
        "description": "How long to wait for an answer. Without one, an invite is in doubt, and is not sent again.",
        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 3600, "default": 30},
    },
    "allow_http": {
        "label": "Allow plain http",
        "description": "Send credentials and numbers unencrypted to a host other than this machine. Leave off.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
}
"""Fields kept in the connection's extra."""

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "extra"],
    "relabeling": {"host": "Base URL", "login": "User name or client id", "password": "Password, key or secret"},
    "placeholders": {
        "host": "https://xxxxx.api.infobip.com (default: https://api.infobip.com)",
        "port": "443",
        "login": "see Authentication under Extra Fields",
    },
}
"""How Airflow's own fields are shown; the keys are those of the provider info."""


def wtforms_widgets() -> dict[str, Any]:
    """Make the widgets that Airflow below 3.2 asks for."""
    # Not installed with Airflow 3, which does not call this, so there are no types to check against.
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # type: ignore[import-not-found,unused-ignore]
    from wtforms import BooleanField, IntegerField, StringField  # type: ignore[import-untyped,unused-ignore]
    from wtforms.validators import Optional, any_of  # type: ignore[import-untyped,unused-ignore]

    fields = {"string": StringField, "integer": IntegerField, "boolean": BooleanField}
    widgets = {}
    for name, field in CONN_FIELDS.items():
        schema = field["schema"]
        kind = schema["type"][0]
        given: dict[str, Any] = {"description": field["description"], "default": schema.get("default")}
        if kind != "boolean":
            given["widget"] = BS3TextFieldWidget()
            given["validators"] = [Optional()] + ([any_of(schema["enum"])] if "enum" in schema else [])
        widgets[name] = fields[kind](field["label"], **given)
    return widgets
