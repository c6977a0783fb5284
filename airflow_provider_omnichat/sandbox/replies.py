"""The vendor's answers as they look on the wire, with both kinds of error body, and the numbers of a query."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf

from aiohttp import web

Problems = dict[str, list[str]]
"""What is wrong with the fields of a request, by their names."""

JSON_TYPE = "application/json"

_ERRORS = {
    400: ("BAD_REQUEST", "Bad request"),
    401: ("UNAUTHORIZED", "Invalid login details"),
    403: ("FORBIDDEN", "Access is denied: the credentials lack a scope, or this address is not allowed"),
    404: ("NOT_FOUND", "Requested resource is not found"),
    429: ("TOO_MANY_REQUESTS", "Too many requests"),
    500: ("GENERAL_ERROR", "Something went wrong. Please contact support."),
    503: ("SERVICE_UNAVAILABLE", "Service is unavailable"),
}

HTML_PAGE = "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1><hr>gateway</body></html>"


def ok(payload: bytes) -> web.Response:
    """Return a 200 with a JSON body."""
    return web.Response(body=payload, content_type=JSON_TYPE)


def as_json(payload: object, status: int = 200) -> web.Response:
    """Return an answer with a JSON body."""
    return web.Response(body=json.dumps(payload).encode(), status=status, content_type=JSON_TYPE)


def error(
    request: web.Request,
    status: int,
    validation: Problems | None = None,
    headers: Mapping[str, str] | None = None,
    newer: bool = False,
) -> web.Response:
    """Return an error, in the older body (``requestError``) unless the API that is called has the newer one."""
    code, text = _ERRORS[status]
    problems = validation or {}
    payload: dict[str, object] = {
        "errorCode": f"E{status}",
        "description": text,
        "action": "Check the request and correct what the violations name.",
        "violations": [{"property": name, "violation": each} for name, texts in problems.items() for each in texts],
        "resources": [{"name": "API reference", "url": "https://example.com/reference"}],
    }
    if not newer and not request.path.startswith("/sms/3/"):
        details = {"validationErrors": dict(problems)} if problems else {}
        payload = {"requestError": {"serviceException": {"messageId": code, "text": text, **details}}}
    response = as_json(payload, status)
    response.headers.update(headers or {})
    return response


def html(status: int, title: str) -> web.Response:
    """Return a page, as a gateway in front of the API would."""
    return web.Response(text=HTML_PAGE.format(title=title), status=status, content_type="text/html")


def whole_number(
    query: Mapping[str, str], name: str, problems: Problems, *, default: int = 0, least: int = 0, most: float = inf
) -> int:
    """Read a number of the query; what is wrong with it is added to *problems*."""
    text = query.get(name, str(default))
    if text.isdecimal() and int(text) >= least and int(text) <= most:
        return int(text)
    problems[name] = [f"must be a number from {least}" + (f" to {most}" if most < inf else "")]
    return least
