"""A DAG file that uses the provider parses as fast as one that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

OF_AIRFLOW = {
    "nothing": "",
    "names": (
        "from airflow.providers.common.compat.sdk import"
        " AirflowFailException, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, mask_secret"
    ),
}
OF_AIRFLOW["objects"] = f"{OF_AIRFLOW['names']}; BaseOperator(task_id='a'); BaseHook()"

PARSED = ["operators.omnichat", "hooks.omnichat", "transfers.sql_to_omnichat", "sensors.omnichat"]
# What is run, and what of Airflow's is loaded before it, which costs a DAG file nothing.
PROGRAMS = {
    **{module: ("names", f"import airflow_provider_omnichat.{module}") for module in PARSED},
    "an operator and a hook": (
        "objects",
        "from airflow_provider_omnichat.operators.omnichat import SendInviteOperator\n"
        "from airflow_provider_omnichat.hooks.omnichat import OmnichatHook\n"
        "SendInviteOperator(task_id='a', to='+41793026727', message='<link>'); OmnichatHook('no_such')",
    ),
    "provider info": ("nothing", "from airflow_provider_omnichat.get_provider_info import get_provider_info as g; g()"),
    "rows and ledgers": (
        "nothing",
        "import airflow_provider_omnichat.hooks.sql_rows, airflow_provider_omnichat.hooks.databases",
    ),
}
HEAVY = {"requests", "urllib3", "aiohttp", "phonenumbers", "pendulum", "wtforms", "flask_appbuilder", "sqlalchemy"}

# One process loads Airflow step by step; each program runs in a fork of it and writes down what else it has loaded.
RUN_EACH_IN_A_FORK = """
import json, os, sys
of_airflow, programs, folder = json.load(sys.stdin)
for name, code in of_airflow.items():
    exec(code, {})
    before = set(sys.modules)
    for number, (program, (needs, code)) in enumerate(programs.items()):
        if needs == name and os.fork() == 0:
            exec(code, {})
            with open(f"{folder}/{number}", "w") as file:
                json.dump([program, sorted(set(sys.modules) - before)], file)
            os._exit(0)
        elif needs == name:
            os.wait()
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What each program loads that Airflow has not loaded before."""
    folder = tmp_path_factory.mktemp("loaded")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_EACH_IN_A_FORK],
        input=json.dumps([OF_AIRFLOW, PROGRAMS, str(folder)]),
        text=True,
        check=True,
    )
    found = dict(json.loads(Path(file).read_text()) for file in folder.iterdir())
    assert set(found) == set(PROGRAMS), "a program failed: its traceback is above"
    return {program: set(modules) for program, modules in found.items()}


def heavy(modules: set[str], among: set[str] = HEAVY) -> set[str]:
    return {name for name in modules if name.split(".")[0] in among}


@pytest.mark.parametrize("module", PARSED)
def test_parsing_a_dag_loads_nothing_heavy_that_airflow_has_not_loaded(loaded, module):
    ours = loaded[module]
    assert f"airflow_provider_omnichat.{module}" in ours
    assert heavy(ours) == set()
    assert not {name for name in ours if name.startswith(("airflow_provider_omnichat.api.client", "airflow.models"))}


def test_making_an_operator_and_a_hook_loads_nothing_that_airflows_own_do_not(loaded):
    assert "airflow_provider_omnichat.hooks.omnichat" in loaded["an operator and a hook"]
    assert heavy(loaded["an operator and a hook"], {"requests", "aiohttp", "phonenumbers"}) == set()


def test_the_provider_info_imports_nothing_of_airflow(loaded):
    assert heavy(loaded["provider info"], {"airflow", *HEAVY}) == set()


def test_what_reads_rows_or_keeps_a_ledger_loads_no_sql_before_it_is_used(loaded):
    found = loaded["rows and ledgers"]
    assert "airflow_provider_omnichat.hooks.databases" in found
    assert not {name for name in found if name.startswith(("airflow.providers.common.sql.hooks", "sqlparse"))}
