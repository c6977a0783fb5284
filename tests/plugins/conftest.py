"""The plugin's modules are there for Airflow 3.1 and newer."""

from __future__ import annotations

from tests.support.airflow_versions import AIRFLOW

collect_ignore = ["invites"] if AIRFLOW < (3, 1) else []
