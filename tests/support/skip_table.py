"""Ends a run with a table of what was skipped and why; with ``--known-skips-only``, any other reason fails the run."""

from __future__ import annotations

import re
from collections import Counter

import pytest

KNOWN = re.compile(
    r"\bAirflow \d"  # what one Airflow has and another has not
    r"|^(PostgreSQL|MariaDB|Chromium|Redis|atheris): .* not on this machine"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--known-skips-only", action="store_true", help="fail when a reason to skip is not a known one")


def reasons(config: pytest.Config) -> Counter[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    return Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.option.known_skips_only and any(not KNOWN.search(reason) for reason in reasons(session.config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = reasons(config)
    if found:
        terminalreporter.section("skipped")
    for reason, count in found.most_common():
        known = "" if KNOWN.search(reason) else "  <- unknown: see tests/support/skip_table.py"
        terminalreporter.line(f"{count:5}  {reason}{known}")
