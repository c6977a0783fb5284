"""The sandbox in a separate process; its log of requests is the judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE_SECONDS, wait_until


class Vendor:
    """A running sandbox."""

    def __init__(self, home: Path) -> None:
        self._log = home / "outbox.jsonl"
        self._ready = json.loads((home / "ready.json").read_text())
        self._counted = 0
        self._requests = 0

    def connection(self, **extra: Any) -> str:
        """The Airflow connection to it, as JSON."""
        given = json.loads(self._ready["airflow_conn"])
        return json.dumps({**given, "extra": {**given["extra"], **extra}})

    @property
    def requests(self) -> int:
        """How many invite requests have come."""
        if self._log.exists():
            with self._log.open("rb") as file:
                file.seek(self._counted)
                new = file.read()
            self._counted += len(new)
            self._requests += new.count(b"\n")
        return self._requests

    def receipts(self) -> list[dict[str, Any]]:
        """All invite requests, in the order in which they came."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [json.loads(line) for line in lines]

    def accepted(self) -> Counter[str]:
        """How many SMS each number got."""
        return Counter(receipt["to"] for receipt in self.receipts() if receipt["accepted"])


@contextmanager
def vendor(home: Path, *options: str) -> Iterator[Vendor]:
    """Start a sandbox with these options of its command line."""
    home.mkdir(parents=True, exist_ok=True)
    ready = home / "ready.json"
    command = [sys.executable, "-m", "airflow_provider_omnichat.sandbox", "--port", "0", "--quiet"]
    with (home / "vendor.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready), "--outbox-file", str(home / "outbox.jsonl"), *options],
            env=os.environ.copy(),
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None)
        assert process.poll() is None, (home / "vendor.log").read_text()
        yield Vendor(home)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
