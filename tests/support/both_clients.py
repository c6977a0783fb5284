"""The same sending by either client, so that one test holds for both."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError, OmnichatError
from airflow_provider_omnichat.api.models import InviteAnswer
from tests.support.example_invite import MESSAGE, NUMBER

CLIENTS = ("sync", "async")


def send(hook: Any, client: str, times: int = 1) -> list[InviteAnswer | OmnichatError]:
    """Send an invite so many times with one client; give the answer or the error of each."""
    invite = hook.check_invite(NUMBER, MESSAGE)
    if client == "sync":
        made = hook.get_conn()
        return [_ended(lambda: made.send_invite(invite)) for _ in range(times)]

    async def by_async() -> list[InviteAnswer | OmnichatError]:
        found: list[InviteAnswer | OmnichatError] = []
        async with hook.get_async_conn() as made:
            for _ in range(times):
                try:
                    found.append(await made.send_once(invite))
                except OmnichatError as error:
                    found.append(error)
        return found

    return asyncio.run(by_async())


def _ended(attempt: Any) -> InviteAnswer | OmnichatError:
    try:
        return attempt()  # type: ignore[no-any-return]
    except OmnichatError as error:
        return error


def not_sent(hook: Any, client: str) -> InviteNotSentError:
    """Send an invite that must end as certainly not sent, and fit to be tried again."""
    (error,) = send(hook, client)
    assert type(error) is InviteNotSentError, repr(error)
    assert error.retryable
    assert not error.account_fault
    return error


def unknown(hook: Any, client: str) -> InviteUnknownError:
    """Send an invite that must end in doubt."""
    (error,) = send(hook, client)
    assert type(error) is InviteUnknownError, repr(error)
    return error


def refusal(hook: Any, client: str, kind: type[OmnichatError]) -> OmnichatError:
    """Send with a client that must refuse to begin."""
    with pytest.raises(kind) as raised:
        send(hook, client)
    return raised.value


def all_that_shows(error: BaseException) -> str:
    """Everything that an error and the errors behind it could put into a log, also what Python leaves out."""
    return "\n".join(
        [*traceback.format_exception(error), *(f"{each!r} {each} {vars(each)!r}" for each in _chain(error))]
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
