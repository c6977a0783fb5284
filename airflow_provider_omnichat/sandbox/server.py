"""The sandbox as a server: its paths, and, for tests, one in a background thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self, TypeVar

from aiohttp import web

from airflow_provider_omnichat.sandbox import applications, control, logs, send
from airflow_provider_omnichat.sandbox.account import ACCOUNT, Account
from airflow_provider_omnichat.sandbox.fault_plan import FaultPlan, FaultSpecs
from airflow_provider_omnichat.sandbox.outbox import Receipt, Totals
from airflow_provider_omnichat.sandbox.settings import Settings, airflow_connection, base_address
from airflow_provider_omnichat.sandbox.statuses import check_shares

T = TypeVar("T")

_APPLICATIONS = "/omnichat/1/applications"


@asynccontextmanager
async def serving(account: Account) -> AsyncIterator[int]:
    """Listen, and fill the outbox file, while the block lasts; yield the port, or raise OSError."""
    app = web.Application()
    app[ACCOUNT] = account
    app.add_routes(
        [
            web.post(_APPLICATIONS + "/{key}/integrations/{type}/invite", send.send_invite),
            web.post("/sms/3/messages", send.send_messages),
            web.get(_APPLICATIONS + "/{key}/users", applications.list_users),
            web.post(_APPLICATIONS, applications.create_application),
            web.post("/auth/1/oauth2/token", applications.oauth2_token),
            web.post("/auth/1/session", applications.session),
            web.get("/sms/3/logs", logs.read_logs),
            web.get("/", control.page),
            web.get("/__outbox", control.read_outbox),
            web.delete("/__outbox", control.clear_outbox),
            web.post("/__outbox/clear", control.clear_outbox),
            web.get("/__faults", control.read_faults),
            web.post("/__faults", control.write_faults),
        ]
    )
    # A hanging answer ends when its client goes away; nothing waits for it when the sandbox stops.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
    with account.outbox_file():
        await runner.setup()
        try:
            await web.TCPSite(runner, account.settings.host, account.settings.port, backlog=1024).start()
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()


class Sandbox:
    """A sandbox on a free port of this machine, for as long as the ``with`` block lasts.

    ::

        with Sandbox(faults={"429": 0.1}, seed=1) as sandbox:
            requests.post(sandbox.invite_url(), auth=sandbox.auth, json={...})
            assert sandbox.outbox[0].accepted

    :param faults: ``{"429": 0.1}`` or ``["429:0.1", "latency:0.5:2"]``; the rates add up to at most 1
    :param seed: of the faults; random by default
    :param settings: everything else; a free port and random credentials by default
    """

    def __init__(self, *, faults: FaultSpecs = (), seed: int | None = None, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.credentials = self.settings.credentials
        self.application_key = self.settings.application_key
        #: The port it listens on, once it does.
        self.port = 0
        self._account = Account(self.settings, FaultPlan(faults, seed))
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def start(self) -> None:
        """Start to listen, and return once requests can come; raise OSError if the address cannot be used."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="omnichat-sandbox", daemon=True)
        self._thread.start()
        ready.result()

    def stop(self) -> None:
        """Stop listening, break what is still open, and keep the outbox readable."""
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None and self._thread is not None:
            loop.call_soon_threadsafe(stopping.set)
            self._thread.join()
        self._loop = self._stopping = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def _run(self, ready: Future[None]) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _serve(self, ready: Future[None]) -> None:
        async with serving(self._account) as self.port:
            self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
            ready.set_result(None)
            await self._stopping.wait()

    def _in_loop(self, work: Callable[[], T]) -> T:
        # Where the handlers run: the account is not made for two threads.
        async def do() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result() if self._loop else work()

    @property
    def url(self) -> str:
        """The base URL: ``http://127.0.0.1:49321``."""
        return f"{base_address(self.settings.host)}:{self.port}"

    @property
    def auth(self) -> tuple[str, str]:
        """User and password, as `requests` takes them."""
        return self.credentials.user, self.credentials.password

    @property
    def airflow_connection(self) -> str:
        """The Airflow connection to this sandbox, as JSON for ``AIRFLOW_CONN_...``."""
        return airflow_connection(self.settings, self.port)

    def invite_url(self, integration_type: str | None = None) -> str:
        """Return the URL of the invite call, of the first integration unless another is named."""
        kind = integration_type or self.settings.integration_types[0]
        return f"{self.url}{_APPLICATIONS}/{self.application_key}/integrations/{kind}/invite"

    @property
    def outbox(self) -> list[Receipt]:
        """A copy of the receipts that are kept, in the order of arrival."""
        return self._in_loop(lambda: list(self._account.outbox.latest()))[::-1]

    @property
    def accepted(self) -> list[Receipt]:
        """A copy of the receipts of accepted invites: each would have been an SMS."""
        return [receipt for receipt in self.outbox if receipt.accepted]

    @property
    def totals(self) -> Totals:
        """A copy of the counts."""
        return self._in_loop(self._account.outbox.totals)

    @property
    def requests_seen(self) -> int:
        """How many invite requests reached the handler since the last clear, answered or not."""
        return self._account.outbox.requests_seen

    @property
    def logs_requests(self) -> int:
        """How many requests for the SMS logs were let in."""
        return self._account.logs_window.passed

    @property
    def seed(self) -> int:
        """The seed of the faults."""
        return self._account.plan.seed

    def set_faults(self, faults: FaultSpecs, seed: int | None = None) -> None:
        """Replace the faults drawn by chance, and start the generator again if a seed is given."""
        self._in_loop(lambda: self._account.plan.set(faults, seed))

    def set_delivery(self, shares: Mapping[str, float], after: tuple[float, float]) -> None:
        """Change how and when accepted invites end, also those already sent; see `Settings`."""
        check_shares(shares)
        self._account.delivery = replace(self._account.delivery, shares=dict(shares), after=after)

    def script(self, *specs: str) -> None:
        """Append what the next invites meet, one each: ``"ok"``, ``"429"``, ``"429-retry-after:2"``."""
        self._in_loop(lambda: self._account.plan.script(specs))

    def clear(self) -> None:
        """Forget what was sent and start the counts again; faults and script stay."""
        self._in_loop(self._account.clear)

    def clear_faults(self) -> None:
        """Remove faults and script, and start the seed again."""
        self._in_loop(self._account.plan.clear)
