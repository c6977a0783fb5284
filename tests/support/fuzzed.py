"""What atheris finds bytes for, led by the lines that they reach: ``python -m tests.support.fuzzed csv -runs=9``."""

from __future__ import annotations

import io
import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["airflow_provider_omnichat"]):
    from airflow_provider_omnichat.api.errors import InvalidInviteError, SendError
    from airflow_provider_omnichat.api.wire import HttpResponse
    from airflow_provider_omnichat.campaign.model.rows import RowSourceError
    from airflow_provider_omnichat.campaign.phone.number import normalise_number
    from airflow_provider_omnichat.campaign.rows.files import rows_of_stream
from tests.support.example_invite import INVITE


def answer(data: bytes) -> None:
    status = (200, 200, 202, 400, 401, 429, 500, 503)[sum(data[:1]) % 8]
    with suppress(SendError):
        INVITE.read(HttpResponse(status, {"retry-after": data[:9].decode("latin-1")}, data[1:]))


def rows(data: bytes, name: str) -> None:
    with suppress(RowSourceError):
        found = list(rows_of_stream(io.BytesIO(data), name))
        assert [row.position for row in found] == list(range(1, len(found) + 1))


def number(data: bytes) -> None:
    with suppress(InvalidInviteError):
        normalise_number(data[1:].decode(errors="surrogateescape"), (None, "CH", "AR", "CI")[sum(data[:1]) % 4])


TARGETS = {
    "answer": answer,
    "csv": lambda data: rows(data, "x.csv"),
    "tsv.gz": lambda data: rows(data, "x.tsv.gz"),
    "jsonl": lambda data: rows(data, "x.jsonl"),
    "number": number,
}

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
