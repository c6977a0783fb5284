"""Airflows for the benchmark: one is migrated and knows the connections, the others are copies of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.support.airflow_deployment import Airflow, bundle

DAGS = Path(__file__).parent / "dags"
ROOT = Path(__file__).parent.parent


class BenchmarkAirflow(Airflow):
    """
    An Airflow with the DAGs of the benchmark, and the connections where users have them: in the metadata database.

    :param home: where everything of it lies.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home, "")
        del self.environment["AIRFLOW_CONN_OMNICHAT_DEFAULT"]
        self.environment |= {
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle("benchmarks", DAGS)]),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "PYTHONPATH": str(ROOT),
        }

    def migrate(self, connections: dict[str, dict[str, object]]) -> None:
        """Make the metadata database, with these connections in it."""
        file = self.home / "connections.json"
        file.write_text(json.dumps(connections))
        for command in (("db", "migrate"), ("connections", "import", str(file))):
            done = self.cli(*command)
            if done.returncode:
                raise RuntimeError(f"airflow {' '.join(command)}: {done.stdout[-2000:]}")

    def copy(self, home: Path) -> BenchmarkAirflow:
        """Make another one that begins with the same metadata database."""
        made = BenchmarkAirflow(home)
        shutil.copy(self.home / "airflow.db", home / "airflow.db")
        return made

    def _is_up(self) -> bool:
        """Tell whether the services work and the benchmark's DAGs are known: the tests' own are not there."""
        try:
            self._token = self.api("GET", "/auth/token")["access_token"]
            health = self.api("GET", "/api/v2/monitor/health")
            services = ("metadatabase", "scheduler", "dag_processor")
            if any(health[service]["status"] != "healthy" for service in services):
                return False
            broken = self.api("GET", "/api/v2/importErrors")["import_errors"]
            if broken:
                raise RuntimeError(broken[0]["stack_trace"])
            return bool(self.api("GET", "/api/v2/dags?paused=true")["total_entries"])
        except OSError:
            return False
