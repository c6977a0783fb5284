"""What the Airflow that runs the tests can do."""

from __future__ import annotations

from importlib.metadata import version

import pytest

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
HAS_API_SERVER = AIRFLOW >= (3, 0)
HAS_TABS = AIRFLOW >= (3, 1)
HAS_STATE_STORE = AIRFLOW >= (3, 3)

needs_runner = pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 has no task runner of its own")
needs_tabs = pytest.mark.skipif(not HAS_TABS, reason="tabs for plugins came with Airflow 3.1")
needs_store = pytest.mark.skipif(not HAS_STATE_STORE, reason="the task state store came with Airflow 3.3")
retries_a_killed_task = pytest.mark.skipif(
    (3, 0) <= AIRFLOW < (3, 1), reason="Airflow 3.0 fails a task whose process was killed, whatever retries it has"
)
