"""What differs between the databases that a ledger can be in."""

from __future__ import annotations

from typing import Literal

Dialect = Literal["sqlite", "postgresql", "mysql"]
AnyDialect = Literal[Dialect, "duckdb", "other"]
"""What must be known of a database that takes result rows; most are ``other``."""
DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgresql", "mysql")
"""Databases that keep a primary key and undo half a transaction; MariaDB counts as ``mysql``."""

# Compared byte by byte, and in MySQL within the 3,072 bytes of a key: 282 characters of up to 4 bytes.
NAME_LENGTH = 250
