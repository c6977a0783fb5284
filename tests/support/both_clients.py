"""The same sending by either client, so that one test holds for both."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeVar

import pytest

from airflow_provider_omnichat.api import event_loop
from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteUnknownError, OmnichatError
from airflow_provider_omnichat.api.models import Invite, InviteAnswer
from tests.support.example_invite import MESSAGE, NUMBER

CLIENTS = ("sync", "async")

Failure = TypeVar("Failure", bound=OmnichatError)


def send(
    hook: Any, client: str, times: int = 1, *, pause: float = 0.0, **fields: Any
) -> list[InviteAnswer | OmnichatError]:
    """Send an invite so many times with one client, with a pause between; give the answer or the error of each."""
    invite = hook.check_invite(**{"to": NUMBER, "message": MESSAGE, **fields})
    return send_each(hook, client, [invite] * times, pause=pause)


def send_each(hook: Any, client: str, invites: list[Invite], *, pause: float) -> list[InviteAnswer | OmnichatError]:
    """Send invites one after the other with one client; give the answer or the error of each."""
    if client == "sync":
        made, ended = hook.get_conn(), []
        for turn, invite in enumerate(invites):
            time.sleep(pause if turn else 0)
            ended.append(_ended(partial(made.send_invite, invite)))
        return ended

    async def by_async() -> list[InviteAnswer | OmnichatError]:
        found: list[InviteAnswer | OmnichatError] = []
        async with hook.get_async_conn() as made:
            for turn, invite in enumerate(invites):
                await asyncio.sleep(pause if turn else 0)
                try:
                    found.append(await made.send_once(invite))
                except OmnichatError as error:
                    found.append(error)
        return found

    return event_loop.run(by_async())


def _ended(attempt: Any) -> InviteAnswer | OmnichatError:
    try:
        return attempt()  # type: ignore[no-any-return]
    except OmnichatError as error:
        return error


def accepted(hook: Any, client: str, **fields: Any) -> InviteAnswer:
    """Send an invite that must be accepted."""
    (answer,) = send(hook, client, **fields)
    assert isinstance(answer, InviteAnswer), repr(answer)
    return answer


def failed(hook: Any, client: str, kind: type[Failure]) -> Failure:
    """Send an invite that must end with an error of exactly this kind."""
    (error,) = send(hook, client)
    assert type(error) is kind, repr(error)
    return error


def not_sent(hook: Any, client: str) -> InviteNotSentError:
    """Send an invite that must end as certainly not sent, and fit to be tried again."""
    error = failed(hook, client, InviteNotSentError)
    assert error.retryable
    assert not error.account_fault
    return error


def unknown(hook: Any, client: str) -> InviteUnknownError:
    """Send an invite that must end in doubt."""
    return failed(hook, client, InviteUnknownError)


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
