#!/usr/bin/env bash
# Writes constraints/<name>.txt, names and versions only: what one Airflow, this provider and its tools were last tested with.
# Usage: tools/constraints.sh PYTHON NAME...     PYTHON has uv; NAME is one of the cases below.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1
shift
pins=$(mktemp -d)
trap 'rm -rf "$pins"' EXIT

# The lower bounds of pyproject.toml as exact pins, apache-airflow among them.
lower_bounds() {
    "$python" - <<'PY'
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
bounded = project["dependencies"] + [one for extra in project["optional-dependencies"].values() for one in extra]
print("\n".join(one.replace(">=", "==") for one in bounded))
PY
}

for name in "$@"; do
    groups="--group test --group mysqlclient"
    case $name in
        airflow-3.3) groups="--group dev --group mysqlclient --group outage"; echo "apache-airflow==3.3.2" ;;
        # The newest pre-release; what it needs of other pre-releases it names itself.
        airflow-pre) echo "apache-airflow>=3.4.0a0" ;;
        # No DAG runs on 3.2.2 with newer ones, with or without this provider.
        airflow-3.2) printf '%s\n' "apache-airflow==3.2.2" "fastapi<=0.156.0" "svcs<=26.1.0" ;;
        airflow-3.1) echo "apache-airflow==3.1.8" ;;
        # 3.0 passes PyJWT a list as issuer (TypeError from 2.11 on), its page uses the old form of starlette's TemplateResponse
        # (gone in 1.0), its tasks send JSON without naming it as such (refused by FastAPI from 0.132 on), and its
        # ObjectStoragePath takes no file:// with universal-pathlib 0.3.
        airflow-3.0)
            printf '%s\n' "apache-airflow==3.0.6" "pyjwt<2.11" "starlette<1" "fastapi<0.132" "universal-pathlib<0.3" ;;
        airflow-2.11) echo "apache-airflow==2.11.2" ;;
        # 2.11.0 did not yet say that its ObjectStoragePath does not work with universal-pathlib 0.3; 2.11.2 does.
        lowest) lower_bounds; echo "universal-pathlib<0.3" ;;
        *) echo "constraints: no set is called '$name'" >&2; exit 2 ;;
    esac > "$pins/$name.in"
    printf 'pip\nuv\n' >> "$pins/$name.in" # what installs the rest
    # One file for every Python from 3.11 on: what differs between them carries a marker.
    "$python" -m uv pip compile pyproject.toml "$pins/$name.in" --all-extras $groups \
        --universal --python-version 3.11 --no-header --no-annotate --quiet ${UPGRADE---upgrade} \
        --output-file "constraints/$name.txt"
    printf 'constraints/%s.txt: %s pins\n' "$name" "$(wc -l < "constraints/$name.txt")"
done
