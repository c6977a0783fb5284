"""Bytes that atheris finds, led by which lines of the package they reach: ``python -m tests.support.fuzzed csv -runs=9``."""

from __future__ import annotations

import io
import sys

import atheris

with atheris.instrument_imports(include=["airflow_provider_omnichat"]):
    from airflow_provider_omnichat.api.errors import InvalidInviteError, SendError
    from airflow_provider_omnichat.api.models import Invite
    from airflow_provider_omnichat.api.outcomes import Outcome
    from airflow_provider_omnichat.api.wire import HttpResponse, read_invite_response
    from airflow_provider_omnichat.campaign.model.rows import RowSourceError
    from airflow_provider_omnichat.campaign.phone.number import normalise_number
    from airflow_provider_omnichat.campaign.rows.files import rows_of_stream

TO = "41785559182"
INVITE = Invite(TO, "Hello <link>", "<link>", "KEY", "FACEBOOK")


def answer(data: bytes) -> None:
    status = (200, 200, 202, 400, 401, 429, 500, 503)[data[0] % 8] if data else 200
    try:
        read_invite_response(HttpResponse(status, {"retry-after": data[:9].decode("latin-1")}, data[1:]), INVITE)
    except SendError as error:
        assert error.outcome in {Outcome.REJECTED, Outcome.UNKNOWN, Outcome.NOT_SENT}
        assert TO not in str(error)


def rows(data: bytes, ending: str) -> None:
    try:
        found = list(rows_of_stream(io.BytesIO(data), f"list{ending}"))
    except RowSourceError:
        return
    assert [row.position for row in found] == list(range(1, len(found) + 1))


def number(data: bytes) -> None:
    written = data[1:].decode(errors="surrogateescape")
    try:
        found = normalise_number(written, (None, "CH", "US", "AR", "CI")[data[0] % 5] if data else None)
    except InvalidInviteError:
        return
    assert found == normalise_number(found)


TARGETS = {
    "answer": answer,
    "csv": lambda data: rows(data, ".csv"),
    "tsv.gz": lambda data: rows(data, ".tsv.gz"),
    "jsonl": lambda data: rows(data, ".jsonl"),
    "number": number,
}

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
