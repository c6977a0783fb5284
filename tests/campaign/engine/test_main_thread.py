"""What runs an event loop in the task's main thread ends when ``execution_timeout`` says so."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.follow_campaign import follow
from airflow_provider_omnichat.campaign.engine.look_up import look_up_once
from airflow_provider_omnichat.campaign.ledger.interface import Entry
from airflow_provider_omnichat.tasks.delivery import GivenMessages
from tests.support.execution_timeout import passes_when

NUMBER = "41793026727"


class Late(BaseException):
    pass


@pytest.mark.parametrize(
    "asks",
    [
        lambda client: look_up_once(client, NUMBER, Entry(Outcome.UNKNOWN, datetime.now(UTC)), 60.0),
        lambda client: follow([GivenMessages(["abc"])], client),
    ],
    ids=["look_up_once", "follow"],
)
def test_an_answer_that_does_not_come_is_not_waited_for(wire, hook_for, asks: Callable[[Any], object]):
    asked, ended = threading.Event(), threading.Event()

    def silence(sock: socket.socket) -> None:
        asked.set()
        ended.wait()

    def raise_late(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, raise_late)
    try:
        client = hook_for(wire(silence)).get_async_conn(1)
        with passes_when(asked.is_set), pytest.raises(Late):
            asks(client)
    finally:
        signal.signal(signal.SIGALRM, before)
        ended.set()
