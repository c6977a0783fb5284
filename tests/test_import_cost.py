"""A DAG file that uses the provider parses as fast as one that does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

AIRFLOW = (
    "from airflow.providers.common.compat.sdk import"
    " AirflowFailException, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, mask_secret\n"
)
HEAVY = {"requests", "urllib3", "aiohttp", "phonenumbers", "pendulum", "wtforms", "flask_appbuilder", "sqlalchemy"}


def loaded(program: str) -> set[str]:
    """Run *program* in a process of its own and tell what is loaded at its end."""
    shown = "\nimport sys; print('LOADED', *sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program + shown], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("LOADED ")]
    return set(line.split()[1:])


@pytest.fixture(scope="module")
def by_airflow() -> set[str]:
    return loaded(AIRFLOW)


@pytest.mark.parametrize(
    "module", ["operators.omnichat", "hooks.omnichat", "transfers.sql_to_omnichat", "sensors.omnichat"]
)
def test_parsing_a_dag_loads_nothing_heavy_that_airflow_has_not_loaded(by_airflow, module):
    ours = loaded(f"{AIRFLOW}import airflow_provider_omnichat.{module}") - by_airflow
    assert f"airflow_provider_omnichat.{module}" in ours
    assert {name for name in ours if name.split(".")[0] in HEAVY} == set()
    assert not {name for name in ours if name.startswith(("airflow_provider_omnichat.api.client", "airflow.models"))}


def test_making_an_operator_and_a_hook_loads_nothing_that_airflows_own_do_not():
    program = (
        f"{AIRFLOW}from airflow_provider_omnichat.operators.omnichat import SendInviteOperator\n"
        "from airflow_provider_omnichat.hooks.omnichat import OmnichatHook\n"
        "SendInviteOperator(task_id='a', to='+41793026727', message='<link>'); OmnichatHook('no_such')"
    )
    ours = loaded(program) - loaded(f"{AIRFLOW}BaseOperator(task_id='a'); BaseHook()")
    assert {name for name in ours if name.split(".")[0] in {"requests", "aiohttp", "phonenumbers"}} == set()


def test_the_provider_info_imports_nothing_of_airflow():
    found = loaded("from airflow_provider_omnichat.get_provider_info import get_provider_info as g; g()")
    assert {name for name in found if name.split(".")[0] in {"airflow", *HEAVY}} == set()


def test_what_reads_rows_or_keeps_a_ledger_loads_no_sql_before_it_is_used():
    found = loaded("import airflow_provider_omnichat.hooks.sql_rows, airflow_provider_omnichat.hooks.ledger_database")
    assert "airflow_provider_omnichat.hooks.ledger_database" in found
    assert not {name for name in found if name.startswith(("airflow.providers.common.sql.hooks", "sqlparse"))}
