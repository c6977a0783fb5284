"""A campaign from a list in memory to the sandbox, by its plan and without Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_omnichat.api.account import Account
from airflow_provider_omnichat.api.aio import AsyncOmnichatClient
from airflow_provider_omnichat.campaign.checks.invite import InviteDefaults
from airflow_provider_omnichat.campaign.checks.text import MessageTemplate
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan
from airflow_provider_omnichat.campaign.model.rows import Columns, Row
from airflow_provider_omnichat.campaign.rows.lists import ListedRows
from airflow_provider_omnichat.sandbox.server import Sandbox

APPLICATION = "0123456789ABCDEF0123456789ABCDEF"


class Listed:
    """
    A list in memory, as a source; knows how often it was opened, and how.

    :param before_the_last: called before the last row is read.
    """

    def __init__(
        self,
        *numbers: str,
        error: Exception | None = None,
        before_the_last: Callable[[], object] | None = None,
    ) -> None:
        self.opened: list[bool] = []
        self._rows = [{"mobile": number, "name": f"P{number[-2:]}", "id": number[-2:]} for number in numbers]
        self._error = error
        self._before_the_last = before_the_last

    @contextmanager
    def open(self, *, reads_twice: bool) -> Iterator[ListedRows]:
        self.opened.append(reads_twice)
        if self._error:
            raise self._error
        yield _RowsThenLast(self._rows, self._before_the_last)


class _RowsThenLast(ListedRows):
    def __init__(self, items: list[Any], before_the_last: Callable[[], object] | None) -> None:
        super().__init__(items)
        self._before_the_last = before_the_last

    def __iter__(self) -> Iterator[Row]:
        for row in super().__iter__():
            if self._before_the_last and row.position == len(self):
                self._before_the_last()
            yield row


def plan(**groups: Any) -> CampaignPlan:
    text = MessageTemplate("Hi {name}, follow us: <link>")
    defaults = InviteDefaults(text, application_key=APPLICATION, integration_type="FACEBOOK")
    return CampaignPlan("c", **{"invite": defaults, "columns": Columns("mobile", key="id"), **groups})


def client_of(sandbox: Sandbox) -> AsyncOmnichatClient:
    given = json.loads(sandbox.airflow_connection)
    fields = {name: given.get(name) for name in ("host", "schema", "port", "login", "password", "extra")}
    return AsyncOmnichatClient(Account.from_fields(**fields))
