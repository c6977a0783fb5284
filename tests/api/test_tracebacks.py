"""What is raised holds no local variables, for whoever uses the hook or the client without a task."""

from __future__ import annotations

import pytest

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.tracebacks import leaves_no_locals
from tests.support.what_shows import held_by_frames
from tests.support.wire_server import answer, then_close

NUMBER, TEXT, PASSWORD = "41785559182", "Liebe Vreni Amstutz <link>", "hunter2-hunter2"


@pytest.mark.parametrize("given", [answer(500, "x"), answer(401, "x"), answer(400, "x"), then_close()])
@pytest.mark.parametrize("by", ["hook", "client"])
def test_an_error_of_the_hook_or_the_client_holds_nothing(wire, hook_for, given, by):
    hook = hook_for(wire(given), login="user", password=PASSWORD)
    invite = hook.check_invite(f"+{NUMBER}", TEXT)

    def send() -> OmnichatError | None:
        # In a function of its own: what the caller has in its variables is the caller's.
        try:
            hook.send_invite(f"+{NUMBER}", TEXT) if by == "hook" else hook.get_conn().send_invite(invite)
        except OmnichatError as error:
            error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None
            return error
        return None

    error = send()
    assert error is not None
    found = list(held_by_frames(error))
    assert found
    assert not [text for text in found if any(hidden in text for hidden in (NUMBER, "Vreni", PASSWORD, "dXNlcj"))]


def test_what_an_error_was_raised_from_holds_nothing_either():
    @leaves_no_locals
    def fail(number: str) -> None:
        try:
            raise ValueError(len(number))
        except ValueError as error:
            try:
                raise KeyError from error
            except KeyError:
                raise RuntimeError from None

    with pytest.raises(RuntimeError) as caught:
        fail("".join(["41", "785559182"]))
    assert caught.value.__context__ is None
    assert NUMBER not in "".join(held_by_frames(caught.value))
