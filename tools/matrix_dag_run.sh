#!/usr/bin/env bash
# Runs one DAG with `airflow dags test`, against a sandbox of its own, with the Airflow of one environment.
# Usage: AIRFLOW_HOME=... tools/matrix_dag_run.sh ENVIRONMENT [DAG_ID [DAGS_FOLDER]]
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(cd "$1" && pwd)/bin
dag=${2:-example_send_invite}
: "${AIRFLOW_HOME:?is where this run keeps its database; it must not be one that is in use}"
dags_folder=$(cd "${3:-example_dags}" && pwd)
export AIRFLOW__CORE__DAGS_FOLDER=$dags_folder AIRFLOW__CORE__LOAD_EXAMPLES=False

ready=$AIRFLOW_HOME/sandbox.json
"$bin/omnichat-sandbox" --port 0 --ready-file "$ready" --quiet > "$AIRFLOW_HOME/sandbox.log" 2>&1 &
sandbox=$!
trap 'kill "$sandbox" 2>/dev/null || true; wait "$sandbox" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    [ -e "$ready" ] && break
    kill -0 "$sandbox" 2>/dev/null || break
    sleep 0.1
done
[ -e "$ready" ] || { echo "the sandbox did not start:" >&2; cat "$AIRFLOW_HOME/sandbox.log" >&2; exit 1; }
said() { "$bin/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$ready" "$1"; }
AIRFLOW_CONN_OMNICHAT_DEFAULT=$(said airflow_conn)
export AIRFLOW_CONN_OMNICHAT_DEFAULT

# Its output is worth reading only when it failed. Exit codes do not tell (some Airflows end with 0 after a failed run), so the state
# that Airflow recorded and the sandbox's count are asked.
# The time limit is for Airflow 2.11, which starts a task over and over that it cannot run.
limited='import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], timeout=180).returncode)'
quietly() {
    "$bin/python" -c "$limited" "$@" > "$AIRFLOW_HOME/out.log" 2>&1 || { tail -n 60 "$AIRFLOW_HOME/out.log" >&2; return 1; }
}
quietly "$bin/airflow" db migrate
quietly "$bin/airflow" dags test "$dag"
"$bin/python" - "$AIRFLOW_HOME/airflow.db" "$(said url)/__outbox" <<'PY' || { tail -n 60 "$AIRFLOW_HOME/out.log" >&2; exit 1; }
import json
import sqlite3
import sys
from importlib.metadata import version
from urllib.request import urlopen

dag_id, state = sqlite3.connect(sys.argv[1]).execute("SELECT dag_id, state FROM dag_run").fetchone()
with urlopen(sys.argv[2], timeout=10) as answer:
    accepted = json.load(answer)["totals"]["accepted"]
print(f"{dag_id} on Airflow {version('apache-airflow')}: {state}, {accepted} invite(s) accepted by the sandbox")
sys.exit(state != "success" or accepted == 0)
PY
