"""The paths of the sandbox, and how it starts to listen."""

from __future__ import annotations

from aiohttp import web

from airflow_provider_omnichat.sandbox import control, logs, send, surroundings
from airflow_provider_omnichat.sandbox.account import ACCOUNT, Account

_APPLICATIONS = "/omnichat/1/applications"


def build_app(account: Account) -> web.Application:
    """Return the web application that plays ``account``."""
    app = web.Application()
    app[ACCOUNT] = account
    app.add_routes(
        [
            web.post(_APPLICATIONS + "/{key}/integrations/{type}/invite", send.send_invite),
            web.get(_APPLICATIONS + "/{key}/users", surroundings.list_users),
            web.post(_APPLICATIONS, surroundings.create_application),
            web.post("/auth/1/oauth2/token", surroundings.oauth2_token),
            web.post("/auth/1/session", surroundings.session),
            web.get("/sms/3/logs", logs.read_logs),
            web.get("/", control.page),
            web.get("/__outbox", control.read_outbox),
            web.delete("/__outbox", control.clear_outbox),
            web.post("/__outbox/clear", control.clear_outbox),
            web.get("/__faults", control.read_faults),
            web.post("/__faults", control.write_faults),
        ]
    )
    return app


async def listen(account: Account) -> tuple[web.AppRunner, int]:
    """Start to listen, in the running event loop.

    :return: the runner, to be cleaned up by the caller, and the port
    :raises OSError: when the address cannot be listened on
    """
    runner = web.AppRunner(
        build_app(account),
        access_log=None,
        # A hanging answer ends when its client goes away; nothing waits for it when the sandbox stops.
        handler_cancellation=True,
        shutdown_timeout=0.05,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, account.settings.host, account.settings.port, backlog=1024).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner, int(runner.addresses[0][1])
