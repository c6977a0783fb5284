"""The outbox file: each invite request as a JSON line, written as it is received."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_omnichat.sandbox.account import Account
    from airflow_provider_omnichat.sandbox.outbox import Receipt


class Journal:
    """Appends to the account's outbox file while it is open; does nothing when none is set."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        path = self._account.settings.outbox_file
        if path is not None:
            # The file holds whole numbers: readable by its owner only, and a line is out as soon as it is known.
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._file = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)
            self._account.listeners.append(self._write)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._account.listeners.remove(self._write)
            self._file.close()
            self._file = None

    def _write(self, receipt: Receipt) -> None:
        if self._file is not None:
            self._file.write(json.dumps(receipt.as_json()) + "\n")
