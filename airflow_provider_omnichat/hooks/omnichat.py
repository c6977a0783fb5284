"""The hook: from an ``omnichat`` connection to its client."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_omnichat.api.errors import AccountError, OmnichatError
from airflow_provider_omnichat.api.tracebacks import leaves_no_locals
from airflow_provider_omnichat.hooks.connection_form import CONN_FIELDS, UI_FIELD_BEHAVIOUR, wtforms_widgets
from airflow_provider_omnichat.hooks.supervisor import in_turn

if TYPE_CHECKING:
    from airflow_provider_omnichat.api.account import Account
    from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
    from airflow_provider_omnichat.api.client import OmnichatClient
    from airflow_provider_omnichat.api.models import Invite, InviteAnswer

# The client is imported where it is used: DAG files import this module when they are parsed, and only tasks need the
# client.


class OmnichatHook(BaseHook):
    """
    Send SMS invites through Infobip's OMNI Chat API, or with your own link through its SMS API.

    The connection is looked up once and one HTTP session is kept for the life of the hook.

    :param omnichat_conn_id: the ``omnichat`` connection.
    :param retry_budget: seconds within which an invite that was certainly not taken (no connection, 429, 503 with
        ``Retry-After``) is tried again; 0 for a single attempt.
    """

    conn_name_attr = "omnichat_conn_id"
    default_conn_name = "omnichat_default"
    conn_type = "omnichat"
    hook_name = "Infobip OMNI Chat"

    def __init__(self, omnichat_conn_id: str = default_conn_name, *, retry_budget: float = 60.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.omnichat_conn_id = omnichat_conn_id
        self.retry_budget = retry_budget
        self._stopped = False

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields, for Airflow below 3.2; later ones read the provider info."""
        return wtforms_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's behaviour, for Airflow below 3.2; later ones read the provider info."""
        return {name.replace("-", "_"): value for name, value in UI_FIELD_BEHAVIOUR.items()}

    def get_conn(self) -> OmnichatClient:
        """
        Return the client, the same one each time.

        :raises airflow_provider_omnichat.api.errors.AccountError: the connection cannot be used; the text names each
            field at fault.
        """
        return self._client

    def get_async_conn(self, concurrency: int = 32) -> AsyncOmnichatClient:
        """
        Return a new async client of the same account, for ``async with``.

        The connection is looked up here: in an event loop, some versions of Airflow cannot do it.

        :param concurrency: connections at most.
        :raises airflow_provider_omnichat.api.errors.AccountError: the connection cannot be used.
        """
        from airflow_provider_omnichat.api.aio import AsyncOmnichatClient

        mask = in_turn(mask_secret)
        # In a thread: the event loop must not wait for its turn.
        return AsyncOmnichatClient(
            self.account, concurrency, on_token=lambda token: Thread(target=mask, args=(token,), daemon=True).start()
        )

    @cached_property
    def account(self) -> Account:
        """The checked connection; looked up once."""
        try:
            return self._read_account()
        except AccountError as error:
            raise AccountError(f"Connection {self.omnichat_conn_id!r} cannot be used: {error}") from None

    def _read_account(self) -> Account:
        from airflow_provider_omnichat.api.account import Account

        conn = self.get_connection(self.omnichat_conn_id)
        extra: Any = conn.extra_dejson
        if isinstance(extra, str):  # an object that was written as a text is still one
            with suppress(ValueError):
                extra = json.loads(extra or "{}")
        extra = {} if extra is None else extra
        if not isinstance(extra, dict):
            raise AccountError(
                f'extra must be a JSON object, such as {{"application_key": "..."}}, and is a {type(extra).__name__}'
            )
        warn = partial(self.log.warning, "Connection %r: %s", self.omnichat_conn_id)
        if unknown := sorted(set(extra) - set(CONN_FIELDS)):
            warn(f"extra has unknown fields, which are not used: {', '.join(unknown)}")
        given = {name: getattr(conn, name) for name in ("host", "schema", "port", "login", "password")}
        account = Account.from_fields(**given, extra=extra, warn=warn)
        for secret in account.credentials.secrets:
            mask_secret(secret)
        return account

    @cached_property
    def _client(self) -> OmnichatClient:
        from airflow_provider_omnichat.api.client import OmnichatClient
        from airflow_provider_omnichat.api.retry import Backoff

        client = OmnichatClient(self.account, Backoff(budget=self.retry_budget), on_token=mask_secret)
        if self._stopped:
            client.stop()
        return client

    @leaves_no_locals
    def check_invite(self, to: object, message: object, default_region: str | None = None, **given: Any) -> Invite:
        """
        Build an invite without sending it; the connection says what the arguments do not.

        :param given: the other arguments of :meth:`send_invite`.
        :raises airflow_provider_omnichat.api.errors.InvalidInviteError: naming the field, what is wrong and what to do.
        """
        from airflow_provider_omnichat.campaign.checks.invite import defaults_of

        return defaults_of(self.account, default_region=default_region, **given).invite(to, {"message": message})

    @leaves_no_locals
    def send_invite(
        self,
        to: str,
        message: str,
        link_placeholder: str = "<link>",
        application_key: str | None = None,
        integration_type: str | None = None,
        default_region: str | None = None,
        link: str | None = None,
        sender: str | None = None,
        shorten_links: bool = False,
    ) -> InviteAnswer:
        """
        Send one SMS invite: ``POST /omnichat/1/applications/{key}/integrations/{type}/invite``.

        With *link*: ``POST /sms/3/messages``.

        Each call sends: only the operators keep an invite from being sent twice over the tries of a task.

        :param to: phone number as people write it, with a country code unless *default_region* is given.
        :param message: the text; *link_placeholder* in it becomes the invite's link.
        :param link_placeholder: the piece of *message* that the server replaces.
        :param application_key: the OMNI application; that of the connection if None.
        :param integration_type: the channel that the invite leads to; that of the connection if None.
        :param default_region: the country of numbers without a country code, as two letters: ``CH``.
        :param link: your own link in place of the vendor's.
        :param sender: what the phone shows as sender, with *link*; that of the connection if None.
        :param shorten_links: whether the vendor shortens *link* and counts clicks.
        :return: the vendor's answer; ``.to_json()`` gives its JSON shape.
        :raises airflow_provider_omnichat.api.errors.InvalidInviteError: nothing was sent; the text names the field.
        :raises airflow_provider_omnichat.api.errors.InviteRejectedError: the vendor refused it.
        :raises airflow_provider_omnichat.api.errors.InviteNotSentError: certainly not sent.
        :raises airflow_provider_omnichat.api.errors.InviteUnknownError: may have been sent, or not.
        """
        invite = self.check_invite(
            to,
            message,
            default_region,
            link_placeholder=link_placeholder,
            application_key=application_key,
            integration_type=integration_type,
            link=link,
            sender=sender,
            shorten_links=shorten_links,
        )
        return self.get_conn().send_invite(invite if link is None else replace(invite, message_id=str(uuid4())))

    def test_connection(self) -> tuple[bool, str]:
        """
        Ask for one user of the connection's application, or for one message of the SMS logs, which sends nothing.

        :return: whether it worked, and what is wrong.
        """
        try:
            self.account = self._read_account()  # its errors do not name the connection: Airflow tests a temporary one
            return self.get_conn().probe()
        except OmnichatError as error:
            return False, str(error)

    def stop(self) -> None:
        """Begin no further attempt, for ``on_kill``; a request under way is left to end."""
        self._stopped = True
        if "_client" in self.__dict__:
            self._client.stop()

    def close(self) -> None:
        """Close the HTTP session, if there is one."""
        if "_client" in self.__dict__:
            self._client.close()
