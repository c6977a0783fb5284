"""Where tests stand, and where they may get what they share from."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_omnichat

TESTS = Path(__file__).parent
PACKAGE = Path(airflow_provider_omnichat.__file__).parent
SUPPORT = "tests.support"


def imported(code: str) -> Iterator[str]:
    """Every module of the tests that the code imports, wherever in it."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "tests")
        elif isinstance(node, ast.ImportFrom) and node.module == "tests":
            yield from (f"tests.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
            yield str(node.module)


def test_tests_import_nothing_of_each_other_but_what_stands_in_support():
    found = {
        (str(path.relative_to(TESTS)), module)
        for path in TESTS.rglob("*.py")
        for module in imported(path.read_text())
        if module != SUPPORT and not module.startswith(f"{SUPPORT}.")
    }
    assert found == set()


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("from tests.api.test_aio import SAME", "tests.api.test_aio"),
        ("import tests.conftest", "tests.conftest"),
        ("from tests import conftest", "tests.conftest"),
        ("def f():\n    from tests.conftest import NUMBER", "tests.conftest"),
    ],
)
def test_each_way_to_import_is_seen(code, module):
    assert list(imported(code)) == [module]


def test_each_module_has_its_mirror_or_a_line_in_the_table_that_says_where_it_is_tested():
    table = dict(re.findall(r"^\| (\S+\.py) \| (.+) \|$", (TESTS / "README.md").read_text(), re.MULTILINE))
    modules = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py") if not path.name.startswith("__")}
    mirrored = {name for name, path in modules.items() if (TESTS / Path(name).parent / f"test_{path.name}").exists()}
    assert {
        "without a test": modules.keys() - mirrored - table.keys(),
        "not needed": table.keys() - modules.keys() | table.keys() & mirrored,
    } == {
        "without a test": set(),
        "not needed": set(),
    }
    assert [name for names in table.values() for name in names.split(", ") if not (TESTS / name).exists()] == []
