"""The endpoints beside invite and logs: the users of an application, new applications, and tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_omnichat.sandbox.account import ACCOUNT
from airflow_provider_omnichat.sandbox.body import Rule, object_in, read
from airflow_provider_omnichat.sandbox.replies import Problems, as_json, error, whole_number

if TYPE_CHECKING:
    from aiohttp import web

MOST_USERS = 1000

_APPLICATION = {"name": Rule(str, True, may_be_empty=False), "webhookUrl": Rule(str)}
_USERS = (
    {"key": "8F1A4D2C90B7", "integrationType": "FACEBOOK", "firstName": "Ada", "lastName": "Byron"},
    {"key": "5B03E6C1D84F", "integrationType": "TELEGRAM", "firstName": "Grace", "username": "grace_h"},
    {"key": "C27D915EA630", "integrationType": "TELEGRAM", "username": "kj1918"},
    {"key": "1E94B8F07A5D", "integrationType": "FACEBOOK"},
)


async def list_users(request: web.Request) -> web.StreamResponse:
    """Answer with the users of an application; the call a connection test makes."""
    account = request.app[ACCOUNT]
    if not account.admits(request.headers.get("Authorization")):
        return error(request, 401)
    if not account.has_application(request.match_info["key"]):
        return error(request, 404)
    problems: Problems = {}
    limit = whole_number(request.query, "limit", problems, default=MOST_USERS, least=1, most=MOST_USERS)
    offset = whole_number(request.query, "offset", problems)
    if problems:
        return error(request, 400, validation=problems)
    return as_json(_USERS[offset : offset + limit])


async def create_application(request: web.Request) -> web.StreamResponse:
    """Create an application whose key works from then on."""
    account = request.app[ACCOUNT]
    if not account.admits(request.headers.get("Authorization")):
        return error(request, 401)
    body, problems = read(await request.read(), _APPLICATION)
    if problems != {}:
        return error(request, 400, validation=problems)
    return as_json({"key": account.add_application(body["name"]), "name": body["name"]})


async def oauth2_token(request: web.Request) -> web.StreamResponse:
    """Exchange client id and secret for a token that expires."""
    account = request.app[ACCOUNT]
    form = await request.post()
    if form.get("grant_type") != "client_credentials":
        return error(request, 400, validation={"grant_type": ["must be client_credentials"]})
    token = account.issue_token("bearer", form.get("client_id"), form.get("client_secret"))
    if token is None:
        return error(request, 401)
    lifetime = account.settings.token_lifetime
    return as_json({"access_token": token, "expires_in": int(lifetime), "token_type": "Bearer"})


async def session(request: web.Request) -> web.StreamResponse:
    """Exchange user and password for a session token."""
    body = object_in(await request.read())
    if body is None:
        return error(request, 400)
    token = request.app[ACCOUNT].issue_token("ibsso", body.get("username"), body.get("password"))
    return error(request, 401) if token is None else as_json({"token": token})
