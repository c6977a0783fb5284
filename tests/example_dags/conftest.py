from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest

from tests.support.folders import EXAMPLE_DAGS


@pytest.fixture
def customers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example's module of customers, found as Airflow finds it: in the DAGs folder."""
    monkeypatch.syspath_prepend(str(EXAMPLE_DAGS))
    yield import_module("example_customers")
    sys.modules.pop("example_customers", None)
