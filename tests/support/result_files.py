"""What stands in files of results."""

from __future__ import annotations

import csv
import json
from typing import Any, Literal

Format = Literal["jsonl", "csv"]
FORMATS: list[Format] = ["jsonl", "csv"]


def names(directory: Any) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def lines(directory: Any) -> list[dict[str, Any]]:
    """Every row as a tool would see it that knows nothing but the files."""
    rows: list[dict[str, Any]] = []
    for name in names(directory):
        with (directory / name).open("r") as file:
            rows += csv.DictReader(file) if name.endswith(".csv") else map(json.loads, file)
    return rows
