"""Databases for the tests of the SQL ledger: each server is the tests' own, in a directory that is gone afterwards."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.sql.session import SqlDatabase
from airflow_provider_omnichat.campaign.sql.written_table import Dialect
from tests.support.patience import PATIENCE_SECONDS, wait_until


@dataclass(frozen=True)
class Target:
    """A database by a driver; can be sent to another process."""

    dialect: Dialect
    driver: str
    options: dict[str, Any] = field(default_factory=dict)

    def connect(self) -> Any:
        if self.driver == "sqlite3":
            return sqlite3.connect(**self.options)
        if self.driver == "psycopg2":
            import psycopg2

            return psycopg2.connect(**self.options)
        if self.driver == "psycopg":
            import psycopg

            return psycopg.connect(**self.options)
        import pymysql

        # By a socket on this machine: for TLS, each connection would read all the certificates of the system.
        return pymysql.connect(**self.options, ssl_disabled=True)

    def database(self, wrapped: Callable[[Any], Any] = lambda connection: connection) -> SqlDatabase:
        return SqlDatabase(lambda: wrapped(self.connect()), self.dialect, "?" if self.driver == "sqlite3" else "%s")

    def run(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement of the test's own, with ``?`` for parameters."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(sql if self.driver == "sqlite3" else sql.replace("?", "%s"), parameters)
            rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            connection.commit()
        return rows


@contextmanager
def postgresql() -> Iterator[dict[str, Any]]:
    """Start PostgreSQL on a new socket; return the arguments of its drivers."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    programs = _programs("PostgreSQL", "initdb", "postgres", among=installed)
    with _directory() as home:
        _run(programs["initdb"], "-D", home / "data", "-U", "owner", "-A", "trust", "-E", "UTF8", "--no-sync")
        command = [programs["postgres"], "-D", home / "data", "-k", home, "-c", "listen_addresses=", "-c", "fsync=off"]
        options = {"host": str(home), "user": "owner", "dbname": "postgres"}
        with _server(command, home):
            _wait_for(Target("postgresql", _installed("psycopg2", "psycopg"), options))
            yield options


@contextmanager
def mariadb() -> Iterator[dict[str, Any]]:
    """Start MariaDB on a new socket; return the arguments of its drivers."""
    driver = _installed("pymysql")
    programs = _programs("MariaDB", "mariadb-install-db", "mariadbd", among=[Path("/usr/sbin")])
    with _directory() as home:
        socket = home / "socket"
        # In a directory for temporary files that they shared, a server that starts would remove those of another.
        places = [f"--datadir={home / 'data'}", f"--tmpdir={home}"]
        _run(programs["mariadb-install-db"], "--no-defaults", *places, "--auth-root-authentication-method=normal")
        server = [programs["mariadbd"], "--no-defaults", *places, f"--socket={socket}", "--skip-networking"]
        server.append("--innodb-flush-log-at-trx-commit=0")
        options = {"unix_socket": str(socket), "user": "root", "charset": "utf8mb4"}
        with _server(server, home):
            wait_until(socket.exists)  # a driver that finds no socket leaves its own half open
            _wait_for(Target("mysql", driver, options))
            Target("mysql", driver, options).run("CREATE DATABASE ledger")
            yield {**options, "database": "ledger"}


def _installed(*drivers: str) -> str:
    for driver in drivers:
        if find_spec(driver):
            return driver
    pytest.skip(f"no driver is installed: {' or '.join(drivers)}")


def _programs(server: str, *names: str, among: list[Path]) -> dict[str, str]:
    path = os.pathsep.join([*map(str, among), os.environ.get("PATH", "")])
    found = {name: shutil.which(name, path=path) for name in names}
    if missing := [name for name, place in found.items() if place is None]:
        package = {"PostgreSQL": "postgresql", "MariaDB": "mariadb-server"}[server]
        pytest.skip(f"{server}: {', '.join(missing)} not on this machine; on Debian, apt-get install {package}")
    return {name: place for name, place in found.items() if place is not None}


# Neither server runs as root.
_SERVER_USER: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def _directory() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="omnichat-", dir="/tmp"))  # a socket's path has to be short
    try:
        if _SERVER_USER:
            shutil.chown(home, _SERVER_USER["user"], _SERVER_USER["group"])
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, cwd="/", **_SERVER_USER)


@contextmanager
def _server(command: list[Any], home: Path) -> Iterator[None]:
    log = (home / "log").open("wb")
    process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd="/", **_SERVER_USER)
    try:
        yield
    finally:
        log.close()
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(target: Target) -> None:
    def answers() -> bool:
        with suppress(Exception):
            target.connect().close()
            return True
        return False

    wait_until(answers)
