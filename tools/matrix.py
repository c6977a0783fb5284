"""
Tests the built wheel on each Airflow of the matrix: the fast tests, and a real run (see matrix_run.py).

    tools/matrix.py --wheel DIRECTORY [--table] NAME...      NAME is an environment .matrix/NAME
    tools/matrix.py --table NAME...                          only the table, of the results of earlier runs

MATRIX_PYTEST_ARGS are the arguments of pytest; without any, the fast tests are not run.

Both run in an empty directory, so that the package they import can only be the installed one. A pre-release is
shown like the others, but what fails on it fails nothing. ``--table`` writes what was found into docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
RESULTS = ROOT / ".matrix"
BEGIN, END = "<!-- made by `make matrix` -->", "<!-- end of what `make matrix` makes -->"
FAST = "fast tests"
# Columns of the table, and the checks that are summed up in each.
COLUMNS = {
    "fast tests": (FAST,),
    "single": ("single invite", "mapped invites"),
    "batch, SQL ledger": ("batch with SQL ledger",),
    "transfer": ("transfer",),
    "sensor": ("delivery sensor",),
    "tab and pages": ("tab", "task.json", "rows.csv", "run", "campaigns"),
    "*Clear*: nobody twice": ("clear, with a ledger", "clear, without a ledger"),
}
_NOT_TAKEN = ("airflow_provider_omnichat", "build", "dist", "htmlcov")
_VERSIONS = """
import importlib.metadata, json, platform
print(json.dumps([importlib.metadata.version("apache-airflow"), platform.python_version()]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Test the wheel on each Airflow of the matrix.")
    parser.add_argument("--wheel", type=Path, help="the directory that holds it")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("names", nargs="+")
    given = parser.parse_args()
    if given.wheel:
        (wheel,) = given.wheel.glob("*.whl")
        results = [run(name, wheel, shlex.split(os.environ.get("MATRIX_PYTEST_ARGS", ""))) for name in given.names]
    else:
        results = [json.loads((RESULTS / f"{name}.json").read_text()) for name in given.names]
    if given.table:
        write_table(results)
    bad = [result for result in results if not is_good(result)]
    for result in bad:
        print(
            f"{title(result)}: {', '.join(name for name, said in result['checks'].items() if said != 'ok')}: not right"
        )
    return int(any(not is_prerelease(result) for result in bad))


def run(name: str, wheel: Path, pytest_args: list[str]) -> dict[str, Any]:
    """Test one environment; keep the result in ``.matrix/NAME.json``."""
    python = RESULTS / name / "bin" / "python"
    result: dict[str, Any] = {"name": name, "airflow": name, "python": "", "checks": {}}
    if python.exists():
        _quietly(python, "-m", "pip", "install", "--no-deps", "--force-reinstall", f"{wheel}[sandbox,sql]")
        result["airflow"], result["python"] = json.loads(_quietly(python, "-c", _VERSIONS))
        print(f"== {title(result)}, Python {result['python']}", flush=True)
        with tempfile.TemporaryDirectory(prefix="omnichat-matrix-") as folder:
            result |= test(python, take_along(Path(folder) / "checkout"), Path(folder), pytest_args)
    else:
        print(f"== {name}: there is no environment", flush=True)
        result["checks"] = {"environment": "cannot be made"}
    result["date"] = f"{datetime.now(UTC):%Y-%m-%d}"
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1))
    return result


def take_along(place: Path) -> Path:
    """Copy what the tests need, and not the package."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        is_root = Path(folder) == ROOT
        return {name for name in names if name == "__pycache__" or (is_root and (name[0] == "." or name in _NOT_TAKEN))}

    shutil.copytree(ROOT, place, ignore=left_out)
    return place


def test(python: Path, place: Path, home: Path, pytest_args: list[str]) -> dict[str, Any]:
    """Run the fast tests, then the real run."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PYTHONPATH"))}
    environment["AIRFLOW_HOME"] = str(home / "airflow")
    found: dict[str, Any] = {"tests": "not run", "checks": {}}
    if pytest_args:
        command = [str(python), "-m", "pytest", *pytest_args]
        tests = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        lines = tests.stdout.splitlines() or [""]
        found["tests"] = re.sub(r"\x1b\[\d+m|=+ | =+", "", lines[-1])
        found["checks"][FAST] = "ok" if tests.returncode == 0 else found["tests"] or "failed"
        print(f"  {FAST:28} {found['tests']}", flush=True)
        if tests.returncode:
            print("\n".join([*lines[-80:], tests.stderr[-2000:]]))
    told = home / "checks.json"
    subprocess.run([python, place / "tools" / "matrix_run.py", told], cwd=place, env=environment, check=False)
    found["checks"] |= json.loads(told.read_text()) if told.exists() else {"deployment": "the run ended early"}
    return found


def _quietly(python: Path, *command: str) -> str:
    done = subprocess.run([str(python), *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return str(done.stdout)


def is_prerelease(result: dict[str, Any]) -> bool:
    """Return whether an Airflow is not released yet: its failures are shown, and do not count."""
    return bool(result["name"] == "pre")


def is_good(result: dict[str, Any]) -> bool:
    return bool(set(result["checks"].values()) == {"ok"})


def title(result: dict[str, Any]) -> str:
    name = result["name"]
    more = " (pre-release)" if name == "pre" else " with the lowest libraries" if name == "lowest" else ""
    return f"Airflow {result['airflow']}{more}"


def cell(result: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the verdict on some checks; those that do not apply to an Airflow are not in its result."""
    said = {name: result["checks"][name] for name in names if name in result["checks"]}
    wrong = [name for name, found in said.items() if found != "ok"]
    if wrong:
        return "**fails**" if len(names) == 1 else f"**fails**: {', '.join(wrong)}"
    if names == (FAST,):
        return re.sub(r"(\d+ passed|not run).*", r"\1", result.get("tests", "not run"))
    return "yes" if said else "n/a"


def write_table(results: list[dict[str, Any]]) -> None:
    """Put the table between its markers."""
    head = ["Airflow", "Python", *COLUMNS, "run on"]
    lines = [head, ["---"] * len(head)]
    for result in results:
        cells = [cell(result, names) for names in COLUMNS.values()]
        lines.append([title(result).removeprefix("Airflow "), result["python"], *cells, result["date"]])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    sys.exit(main())
