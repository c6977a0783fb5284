"""A state store that fails when it is told to."""

from __future__ import annotations

import copy
import json
from typing import Any


class Store(dict[str, Any]):
    """A state store that can fail at a call, before or after it took effect, or drop what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.fails_at: dict[int, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        self._count("get")
        return copy.deepcopy(self[key]) if key in self else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        how = self._count("set")
        if how != "dropped":
            self[key] = json.loads(json.dumps(value))
        if how == "after":
            raise ConnectionError("the answer was lost")

    def _count(self, kind: str) -> str | None:
        self.calls += 1
        how = self.fails_at.get(self.calls)
        if how == "before" or (how == "after" and kind == "get"):
            raise ConnectionError("no connection")
        return how


class ListedStore:
    """
    The same as a page sees it, which can also tell its keys.

    :param store: of the task instance.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: str, default: Any = None, /) -> Any:
        return self._store.get(key, default)

    def set(self, key: str, value: Any, /, *, retention: Any = None) -> None:
        self._store.set(key, value, retention=retention)

    def keys(self, prefix: str, /) -> list[str]:
        return sorted(key for key in self._store if key.startswith(prefix))
