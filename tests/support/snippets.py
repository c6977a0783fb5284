"""The snippets of README and docs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.folders import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[Any]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            if match[1] == language:
                found.append(
                    pytest.param(match[2], id=f"{page.relative_to(ROOT)}:{text[: match.start()].count(chr(10)) + 1}")
                )
    return found


def dag_snippets() -> Iterator[tuple[str, str]]:
    """Return DAG id and code of each that defines a DAG."""
    for each in snippets("python"):
        (code,) = each.values
        if "@dag" in code:
            yield code.rstrip().rpartition("\n")[2].removesuffix("()"), code
