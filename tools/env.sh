#!/usr/bin/env bash
# Makes one virtual environment with this provider, Airflow and the tools, at the versions of a constraints file.
# Usage: tools/env.sh DIR CONSTRAINTS GROUP PYTHONS [WHEELS]
#   DIR          where it goes; what is there is replaced
#   CONSTRAINTS  constraints/<name>.txt
#   GROUP        dependency group of pyproject.toml
#   PYTHONS      the Python versions that this Airflow runs on, such as "3.11 3.12"
#   WHEELS       the directory of the wheel to install; without it, the checkout (editable)
# PYTHON (default python3) is taken if it is one of PYTHONS, else the first of them that is installed.
# INSTALLER=pip does without uv, which is otherwise used for speed wherever it can be had.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$1 constraints=$2 group=$3 pythons=$4
log=$dir/install.log
export PIP_DISABLE_PIP_VERSION_CHECK=1

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# Prints a step with the seconds it took; its output is shown only if it failed.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '  %-58s ' "$name"
    if "$@" > "$log" 2>&1; then
        printf '%4d s\n' $((SECONDS - start))
    else
        printf 'failed after %d s\n' $((SECONDS - start))
        sed 's/^/    | /' "$log" | tail -n 25 >&2
        return 1
    fi
}

find_python() {
    local candidate version
    for candidate in "${PYTHON:-python3}" $(printf 'python%s\n' $pythons | sort -rV); do
        version=$(version_of "$candidate") || continue
        case " $pythons " in *" $version "*) echo "$candidate"; return ;; esac
    done
    return 1
}

if ! python=$(find_python); then
    echo "$dir needs Python ${pythons// / or }; ${PYTHON:-python3} is $(version_of "${PYTHON:-python3}" || echo 'not there')." \
        "Install one of them, or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$python has no venv module. On Debian and Ubuntu: apt-get install python$(version_of "$python")-venv" >&2
    exit 1
fi

echo "Environment $dir: $("$python" --version), $constraints"
rm -rf "$dir"
mkdir -p "$dir"
step "virtual environment" "$python" -m venv "$dir"
pip=("$dir/bin/python" -m pip install --quiet --constraint "$constraints")
provider=(--editable '.[sandbox,sql]')
[ $# -lt 5 ] || provider=("$(echo "$5"/*.whl)[sandbox,sql]")
what=(--constraint "$constraints" --group "$group" "${provider[@]}")

with_uv() {
    [ "${INSTALLER:-uv}" = uv ] &&
        step "uv, to install quickly" "${pip[@]}" uv &&
        step "Airflow, the provider and the tools" "$dir/bin/python" -m uv pip install --compile-bytecode --python "$dir/bin/python" "${what[@]}"
}
with_pip() {
    echo "  without uv: this takes a few minutes"
    step "a pip that knows dependency groups" "${pip[@]}" --upgrade pip
    step "Airflow, the provider and the tools" "$dir/bin/python" -m pip install "${what[@]}"
}
# Has no wheels, and is only needed for the tests of that driver.
with_mysqlclient() {
    printf '  %-58s ' "mysqlclient, where it can be built"
    if "$dir/bin/python" -m pip install --constraint "$constraints" mysqlclient > "$log" 2>&1; then
        echo "yes"
    else
        echo "no: it needs a C compiler, pkg-config and the MariaDB client library (Debian: libmariadb-dev)"
    fi
}
with_uv || with_pip
case $group in test | dev) with_mysqlclient ;; esac
rm -f "$log"
