"""Says how to have a failure again, and how much was tried."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.support.attacks import SEED, TIMES, TRIED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed:
        again = f"make attack ATTACK_SEED={SEED} ATTACK_TIMES={TIMES:g} PYTEST_ARGS='-k \"{item.name}\"'"
        report.sections.append(("the same again", again))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if TRIED:
        terminalreporter.section(f"attacks, seed {SEED}")
    for kind, count in TRIED.items():
        terminalreporter.line(f"{count:8,}  {kind}")
