from __future__ import annotations

import re
from pathlib import Path

import pytest

import airflow_provider_omnichat
from airflow_provider_omnichat.api.errors import InviteNotSentError, InviteRejectedError, InviteUnknownError, SendError
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.api.wire import HttpResponse
from tests.support.example_invite import INVITE

PACKAGE = Path(airflow_provider_omnichat.__file__).parent
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "results.md"
FULL = Reason(ReasonCode.NUMBER_TOO_SHORT, "is too short", field="to", subject="41****7", detail="6 digits")


def test_the_documentation_has_each_code_once():
    _, _, table = DOCS.read_text().partition("### Reason codes")
    table, _, _ = table.partition("\n##")
    codes = [code for line in re.findall(r"(?m)^- (`.+?`): ", table) for code in re.findall(r"`(\w+)`", line)]
    assert codes == sorted(codes, key=codes.index)
    assert sorted(codes) == sorted(ReasonCode)


def test_each_code_is_made_somewhere():
    sources = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert [code for code in ReasonCode if f"ReasonCode.{code.name}" not in sources] == []


def test_a_code_is_a_stable_word_that_fits_its_column():
    for code in ReasonCode:
        assert re.fullmatch(r"[a-z]+(?:_[a-z0-9]+)*", code)
        assert len(code) <= 40
        assert code == code.name.lower()


def test_the_sentence_of_a_row_has_its_details_and_the_general_one_has_not():
    assert str(FULL) == "to: 41****7 is too short: 6 digits"
    assert FULL.general == "to: is too short"
    assert str(Reason(ReasonCode.OPTED_OUT, "is on the opt-out list")) == "is on the opt-out list"


def test_what_became_of_it_since_is_a_sentence_of_its_own_and_no_part_of_the_first():
    later = Reason(ReasonCode.READ_TIMEOUT, "No answer.", since="It was sent again: no answer")
    assert str(later) == "No answer. It was sent again: no answer"
    assert (later.first, later.general) == ("No answer.", "No answer.")


@pytest.mark.parametrize("reason", [FULL, FULL._replace(since="It was sent again: no answer")])
def test_a_stored_reason_says_the_same(reason):
    back = Reason.from_json(reason.to_json())
    assert (back.code, str(back), back.first, back.since) == (reason.code, str(reason), reason.first, reason.since)


@pytest.mark.parametrize("data", [{}, {"code": "number_too_short"}, {"code": "odd", "text": "x"}])
def test_what_is_no_stored_reason_is_refused(data):
    with pytest.raises((KeyError, ValueError)):
        Reason.from_json(data)


def failure(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> SendError:
    with pytest.raises(SendError) as raised:
        INVITE.read(HttpResponse(status, headers or {}, body))
    return raised.value


@pytest.mark.parametrize(
    ("status", "headers", "kind", "code"),
    [
        (429, {}, InviteNotSentError, "rate_limited"),
        (503, {"retry-after": "1"}, InviteNotSentError, "service_unavailable"),
        (503, {}, InviteUnknownError, "http_server_error"),
        (500, {}, InviteUnknownError, "http_server_error"),
        (400, {}, InviteRejectedError, "http_rejected"),
        (422, {}, InviteRejectedError, "http_rejected"),
        (401, {}, InviteNotSentError, "http_account_refused"),
        (308, {}, InviteNotSentError, "http_account_refused"),
        (408, {}, InviteUnknownError, "http_unclear"),
        (302, {}, InviteUnknownError, "http_unclear"),
        (200, {}, InviteUnknownError, "unreadable_answer"),
    ],
)
def test_each_kind_of_answer_has_its_code(status, headers, kind, code):
    error = failure(status, headers=headers)
    assert (type(error), error.reason.code) == (kind, code)


def test_the_vendors_words_are_a_detail_so_that_equal_refusals_are_equal():
    first, second = (
        failure(400, f'{{"requestError": {{"serviceException": {{"text": "{text}"}}}}}}'.encode())
        for text in ("Bad name", "Bad place")
    )
    assert str(first) == "The vendor rejected the invite: HTTP 400: Bad name"
    assert first.reason.general == second.reason.general == "The vendor rejected the invite"


@pytest.mark.parametrize(
    ("group", "code"), [(5, "rejected_by_vendor"), (2, "rejected_by_vendor"), (9, "status_unclear")]
)
def test_each_kind_of_status_has_its_code(group, code):
    error = failure(200, b'{"messageId": "m", "status": {"groupId": %d, "id": 6, "name": "X"}}' % group)
    assert error.reason.code == code
