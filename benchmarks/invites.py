"""The list that everybody sends: distinct Swiss mobile numbers, as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

MESSAGE = "Hello {first_name}, follow us at <link>"
_FIRST_NAMES = ("Anna", "Beat", "Carla", "David", "Elena", "Fritz", "Gina", "Hugo")


def write_list(path: Path, count: int) -> Path:
    """Write *count* rows."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer_id", "to", "first_name"])
        for index in range(count):
            writer.writerow([f"C{index:07}", f"+4179{index:07}", _FIRST_NAMES[index % len(_FIRST_NAMES)]])
    return path


def read_bodies(path: str) -> list[dict[str, str]]:
    """Give what goes over the wire for each row."""
    with Path(path).open(newline="") as file:
        return [
            {
                "to": row["to"].removeprefix("+"),
                "message": MESSAGE.format(first_name=row["first_name"]),
                "linkPlaceholder": "<link>",
            }
            for row in csv.DictReader(file)
        ]
