"""
No text for people has been mangled by a tool.

Formatters of docstrings have put a full stop in the middle of a list in brackets, where its first line ended, and a
capital to a web address. What they leave behind can be found: a code span or a bracket that is not closed in its
paragraph, a paragraph that begins in the middle of a sentence, an address that is none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import pytest

import airflow_provider_omnichat
from tests.support.folders import ROOT

FOLDERS = [
    Path(airflow_provider_omnichat.__file__).parent,
    *(ROOT / name for name in ("tests", "tools", "benchmarks", "example_dags")),
]

_PARAGRAPHS = re.compile(r"\n[ \t]*\n")
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_FENCED = re.compile(r"^( *)(```+).*?^\1\2 *$", re.DOTALL | re.MULTILINE)
_ODD_ADDRESS = re.compile(r"\b(?!https?://)(?i:https?)://\S*")
_ODD_STOPS = re.compile(r"(?<=[^\s.(])\.\.(?=\s|$)|[,;:(]\.(?=\s|$)|\. \.(?=\s|$)")
# A sentence that goes on after a blank line: the line before was given a full stop that it did not have.
_GOES_ON = re.compile(r"[a-z]+ |``[^`\n]+``,")
_OPENING = {")": "(", "]": "[", "}": "{"}


def mangled(text: str) -> str | None:
    """
    Say what is broken in a docstring or a page; None where nothing is.

    :param text: as it stands.
    """
    if found := _ODD_ADDRESS.search(text):
        return f"the address {found.group()!r}"
    for number, paragraph in enumerate(_PARAGRAPHS.split(cleandoc(text))):
        if number and _GOES_ON.match(paragraph):
            return f"the middle of a sentence after a blank line, in {paragraph.strip()!r}"
        plain = _CODE.sub("x", paragraph)
        if "`" in plain:
            return f"a code span that is not closed in {paragraph.strip()!r}"
        if (bracket := _unbalanced(plain)) is not None:
            return f"the bracket {bracket!r} without its other half in {paragraph.strip()!r}"
        if found := _ODD_STOPS.search(plain):
            return f"{found.group()!r} in {paragraph.strip()!r}"
    return None


def _unbalanced(text: str) -> str | None:
    opened: list[str] = []
    for character in text:
        if character in _OPENING.values():
            opened.append(character)
        elif character in _OPENING and (not opened or opened.pop() != _OPENING[character]):
            return character
    return opened[-1] if opened else None


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Give line and text of each docstring: of modules, classes and functions, and those below an assignment."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


SOURCES = sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])


def test_no_docstring_is_mangled():
    assert len(SOURCES) > 100
    found = [
        f"{path}:{line}: {problem}"
        for path in SOURCES
        for line, text in docstrings(path.read_text())
        if (problem := mangled(text))
    ]
    assert not found, "\n".join(found)


def test_no_page_is_mangled():
    assert len(PAGES) > 10
    found = [
        f"{path.relative_to(ROOT)}: {problem}"
        for path in PAGES
        if (problem := mangled(_FENCED.sub("", path.read_text())))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "Give the answer back in the vendor's shape (``to``.\n\n``messageCount``, ``messageId``, and what else came).",
        "The vendor's ``groupId``.\n\nHttps://www.infobip.com/docs/essentials/response-status-and-error-codes.",
        "See HTTP://example.com for it.",
        "Give the ``name of.\n\na thing`` back.",
        "Give it (see below.\n\nOr above).",
        "Give a, b, c.\n\nd and e, all in one.",
        "Give ``a``.\n\n``b``, and what else came.",
        "Give a, b,.\n\nc and d.",
        "Give it back..",
        "Give it. . Then go on.",
    ],
)
def test_what_such_tools_leave_behind_is_found(text):
    assert mangled(text)


@pytest.mark.parametrize(
    "text",
    [
        "The vendor's ``groupId``.\n\nhttps://www.infobip.com/docs/essentials/response-status-and-error-codes",
        "Give the answer back in the vendor's shape: ``to``, ``messageCount`` (an int), ``[``, and what else came.",
        "An escaped character (``€[]{}\\^~|``) counts as two.",
        "``SELECT ...``, ``Mapping[..., int]`` and ``..`` are code; so on ... and on.",
        "One file: ``../list.csv``.",
    ],
)
def test_what_is_right_passes(text):
    assert mangled(text) is None
