"""The benchmarks run, if only for a few invites: a change of the operator can break them, and they are seldom run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.airflow_versions import HAS_STATE_STORE
from tests.support.patience import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not HAS_STATE_STORE, reason="the benchmarks are of the newest Airflow"),
]

ROOT = Path(__file__).parent.parent


def test_all_contenders_send_a_short_list():
    table = benchmarks("compare", "--rounds", "1", "--scale", "0.005", "--latency", "0")
    rows = [line for line in table.splitlines() if line.startswith("| ") and " %) |" in line]
    assert len(rows) == 9 - ("PostgreSQL is not on this machine" in table)


def test_growth_is_measured():
    assert "\n| 30 | " in benchmarks("growth", "--rows", "30", "--results")


def benchmarks(*words: str) -> str:
    pytest.importorskip("airflow.providers.http")
    command = [sys.executable, "-m", "benchmarks", "--no-page", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=5 * PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
