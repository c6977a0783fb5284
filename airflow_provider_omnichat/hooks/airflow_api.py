"""The task state store of another task, by Airflow's public API: a worker reaches that of its own task only."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_omnichat.api.account import Account
from airflow_provider_omnichat.api.auth import Credentials
from airflow_provider_omnichat.api.client import OmnichatClient
from airflow_provider_omnichat.api.errors import AccountError, OmnichatError
from airflow_provider_omnichat.api.wire import JSON_HEADERS, HttpRequest
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.hooks.supervisor import in_turn

# Of 64 kB at most, so that the client takes the answer.
_VALUES_A_PAGE = 15
_HINTS = {
    401: "; check the connection's login and password",
    403: "; the connection's user may not read and edit the task instances of this DAG",
    404: "; its state store came with Airflow 3.3, or the path in the connection's host is wrong",
}


def airflow_client(conn_id: str) -> OmnichatClient:
    """Return a client for Airflow's API, made in the task's main thread; raise AccountError for a wrong connection."""
    conn = BaseHook.get_connection(conn_id)
    extra = {name: conn.extra_dejson.get(name) for name in ("allow_http", "timeout")}
    extra["auth_type"] = "basic" if conn.login else "api_key"
    given = {name: getattr(conn, name) for name in ("host", "schema", "port", "login", "password")}
    try:
        if not conn.host:  # which would be the vendor's
            raise AccountError("is empty; give the address of Airflow's API server", "host")
        account = Account.from_fields(**given, extra=extra)
    except AccountError as error:
        raise AccountError(f"Connection {conn_id!r} cannot be used: {error}") from None
    secret = account.credentials.secrets[0]
    credentials = Credentials(f"Bearer {secret}", (secret,))
    if conn.login:  # https://airflow.apache.org/docs/apache-airflow/stable/security/api.html
        user = json.dumps({"username": conn.login.strip(), "password": secret}).encode()
        credentials = Credentials(None, (secret,), HttpRequest("POST", "/auth/token", JSON_HEADERS, user))
    # The vendor's client, for its proxies, certificates, time-outs and tokens.
    return OmnichatClient(replace(account, credentials=credentials), on_token=in_turn(mask_secret))


class RemoteStateStore:
    """Works like ``context["task_state_store"]`` of a task that has ended, whose values are read at once."""

    def __init__(self, client: OmnichatClient, task: str) -> None:
        self._client = client
        names = "/dags/{}/dagRuns/{}/taskInstances/{}".format(*(quote(name, safe="") for name in task.split("/")))
        self._path = f"/api/v2{names}/state-store"
        self._values: dict[str, Any] = {}
        while (page := self._page()).keys() - self._values.keys():
            self._values |= page

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return the value; *default* if there is none."""
        return self._values.get(key, default)

    def set(self, key: str, value: Any, /, *, retention: object = None) -> None:
        """Write a value, which is kept as long as its DAG run."""
        self._ask("PUT", f"/{quote(key, safe='')}", json.dumps({"value": value, "expires_at": None}).encode())
        self._values[key] = value

    def keys(self, prefix: str, /) -> list[str]:
        """Return the keys with a prefix."""
        return [key for key in self._values if key.startswith(prefix)]

    def _page(self) -> dict[str, Any]:
        body = self._ask("GET", f"?limit={_VALUES_A_PAGE}&offset={len(self._values)}")
        try:
            return {each["key"]: each["value"] for each in json.loads(body or b"")["task_state_store"]}
        except (KeyError, TypeError, ValueError):
            raise LedgerError(f"{self._client.account.base_url} does not answer as Airflow's API server does") from None

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes | None:
        what = f"Airflow's API at {self._client.account.base_url}"
        try:
            response = self._client.request(HttpRequest(method, self._path + path, JSON_HEADERS, body))
        except OmnichatError as error:
            raise LedgerError(f"{what} cannot be used: {error}", is_outage=True) from None
        if not 200 <= response.status < 300:
            raise LedgerError(f"{what} answered HTTP {response.status}{_HINTS.get(response.status, '')}")
        return response.body
