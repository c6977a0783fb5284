"""A PostgreSQL of its own, as durable as it is by default, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# It refuses to run as root.
_SOMEBODY: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def postgresql() -> Iterator[dict[str, object] | None]:
    """Give the Airflow connection to it; None where its programs or its driver are missing."""
    places = [*map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), os.environ.get("PATH", "")]
    initdb, postgres = (shutil.which(name, path=os.pathsep.join(places)) for name in ("initdb", "postgres"))
    if initdb is None or postgres is None or find_spec("psycopg2") is None:
        yield None
        return
    home = Path(tempfile.mkdtemp(prefix="omnichat-", dir="/tmp"))  # the path of a socket has to be short
    try:
        if _SOMEBODY:
            shutil.chown(home, "nobody", "nogroup")
        data = str(home / "data")
        subprocess.run(
            [initdb, "-D", data, "-U", "owner", "-A", "trust"], check=True, capture_output=True, cwd="/", **_SOMEBODY
        )
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                [postgres, "-D", data, "-k", str(home), "-c", "listen_addresses="],
                stdout=log,
                stderr=log,
                cwd="/",
                **_SOMEBODY,
            )
        try:
            _wait_for(home)
            yield {"conn_type": "postgres", "host": str(home), "login": "owner", "schema": "postgres"}
        finally:
            server.terminate()
            server.wait(20)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _wait_for(home: Path) -> None:
    import psycopg2

    until = time.monotonic() + 30
    while True:
        try:
            psycopg2.connect(host=str(home), user="owner", dbname="postgres").close()
        except psycopg2.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return
