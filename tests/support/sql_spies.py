"""A database connection that is looked at, or fails, at each statement and commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Spied:
    """A connection that fails where it is told to."""

    def __init__(
        self,
        connection: Any,
        on_execute: Callable[[str, Any], None] = lambda sql, parameters: None,
        on_commit: Callable[[Callable[[], None]], None] = lambda commit: None,
        after_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self.__dict__.update(
            real=connection, on_execute=on_execute, on_commit=on_commit, after_commit=after_commit, writing=False
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.real, name, value)

    def cursor(self) -> Any:
        return SpiedCursor(self, self.real.cursor())

    def commit(self) -> None:
        writing = self.writing
        if writing:
            self.on_commit(self.real.commit)
        self.real.commit()
        self.__dict__["writing"] = False
        if writing:
            self.after_commit()


class SpiedCursor:
    def __init__(self, connection: Spied, cursor: Any) -> None:
        self.connection = connection
        self.real = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        if sql.startswith(("INSERT", "UPDATE")):
            self.connection.__dict__["writing"] = True
        self.connection.on_execute(sql, parameters)
        return self.real.execute(sql, parameters)
