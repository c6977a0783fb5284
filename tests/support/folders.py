"""Where things stand in the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE_DAGS = ROOT / "example_dags"
TEST_DAGS = ROOT / "tests" / "airflow_runs" / "dags"
