# Every command of this project. `make` lists them.
# All paths are relative, so that a checkout may lie under a directory with a space in its name.

PYTHON ?= python3
PYTEST_ARGS ?=
MATRIX_PYTEST_ARGS ?= -q -n 2 -m "not airflow and not slow and not proof and not attack"
MATRIX := 2.11 3.0 3.1 3.2 3.3 pre lowest
BIN := .venv/bin
READY := .venv/.ready

# What a developer has set up for an Airflow of their own must not reach this one, nor the other way round.
unexport $(filter AIRFLOW_%,$(.VARIABLES))
# Container images set it; without bytecode each process of Airflow compiles Airflow anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE
export PYTHON
# Runs what follows with an Airflow home that is new and gone afterwards.
IN_NEW_HOME = home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && export AIRFLOW_HOME="$$home" &&

.DEFAULT_GOAL := help
.PHONY: help env demo demo-ui test test-all proof proof-faults proof-two proof-doubts proof-ids proof-million proof-outage attack lint types lines format matrix $(MATRIX:%=matrix-%) benchmark benchmark-growth benchmark-pace benchmark-pages docs pictures constraints build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9%.-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

env: $(READY) ## make .venv: Airflow 3.3, the provider, the tools

$(READY): pyproject.toml constraints/airflow-3.3.txt tools/env.sh
	@tools/env.sh .venv constraints/airflow-3.3.txt dev "3.11 3.12 3.13"
	@touch $@

demo: $(READY) ## send the example campaign to the sandbox, from nothing to a table of results
	@$(BIN)/python tools/demo.py

demo-ui: $(READY) ## the same, and keep Airflow's UI and the sandbox running
	@$(BIN)/python tools/demo.py --ui

# Tests of a real Airflow come first and stay in one process; the others steal what it has not come to.
# One process more than cores: one of them mostly waits for Airflow.
PROCESSES := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2) + 1)))
IN_PARALLEL := --numprocesses $(PROCESSES) --maxprocesses 8 --dist worksteal

test: $(READY) ## the main promises, in minutes (PYTEST_ARGS="tests/api" or "-k name" for some of them, in seconds)
	@$(IN_NEW_HOME) $(BIN)/python -m pytest $(or $(PYTEST_ARGS),$(IN_PARALLEL))

test-all: $(READY) ## every test but proofs and attacks, with the coverage floor
	@$(IN_NEW_HOME) $(BIN)/python -m pytest -m "not proof and not attack" --cov $(IN_PARALLEL) $(PYTEST_ARGS)

proof: $(READY) ## all proofs but proof-outage
	@$(IN_NEW_HOME) $(BIN)/python -m pytest -m proof $(PYTEST_ARGS)

proof-faults: $(READY) ## 5,000 invites, a vendor that fails in every way, a task killed ten times; twenty seeds
	@$(IN_NEW_HOME) $(BIN)/python -m pytest -m "proof or slow" tests/proofs/test_fault_matrix.py tests/airflow_runs/test_batch_killed.py $(PYTEST_ARGS)

proof-two: $(READY) ## two tasks at once: on one limited account, and on one ledger
	@$(IN_NEW_HOME) $(BIN)/python -m pytest -m "proof or slow" tests/proofs/test_two_at_once.py $(PYTEST_ARGS)

proof-doubts: $(READY) ## what a SIGKILL leaves in doubt: ten kills for each ledger, at full pace and at 50/s
	@$(IN_NEW_HOME) $(BIN)/python -m pytest -m proof tests/proofs/test_doubts.py $(PYTEST_ARGS)

proof-ids: $(READY) ## ids of ours and repeats: 2,000 invites, a vendor that fails in every way, ten kills; and one that ignores ids
	@$(IN_NEW_HOME) $(BIN)/python -m pytest -m "proof or slow" tests/proofs/test_own_ids.py $(PYTEST_ARGS)

proof-million: $(READY) ## a million rows from PostgreSQL: dry, and sent (PROOF_MILLION_SENT=1000000 for all of them), with the peak of memory
	@$(IN_NEW_HOME) $(BIN)/python -m pytest -m proof tests/proofs/test_million_rows.py $(PYTEST_ARGS)

.outage/env/.ready: pyproject.toml constraints/airflow-3.3.txt tools/env.sh
	@tools/env.sh .outage/env constraints/airflow-3.3.txt outage "3.11 3.12 3.13"
	@touch $@

# Needs redis-server and PostgreSQL. OUTAGE_ARGS="--invites 2000" is a quick look, --own-link the other route.
proof-outage: .outage/env/.ready ## 100,000 invites by Celery at 2,000/s, two runs at once: a worker, the API server, the ledger, Redis and the vendor are killed
	@.outage/env/bin/python tools/outage.py $(OUTAGE_ARGS)

# Drawn by ATTACK_SEED (1), so many times as usual as ATTACK_TIMES says (1).
attack: $(READY) ## a hostile vendor, lists, names, users and kills, by chance: within ten minutes
	@$(BIN)/python -c 'import atheris' 2> /dev/null || $(BIN)/python -m pip install --quiet atheris || echo "atheris: not for this Python"
	@$(IN_NEW_HOME) $(BIN)/python -m pytest -m attack tests/attack $(PYTEST_ARGS)

lint: $(READY) ## formatting, lint and the layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache

types: $(READY) ## mypy: strict in the package, milder in tests and tools
	$(BIN)/mypy
	$(BIN)/mypy tests tools benchmarks

lines: ## lines of code, docstrings and comments, by folder of the package
	@$(PYTHON) tools/lines.py

format: $(READY) ## format, and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Tests the wheel, built once, in a directory of its own.
export MATRIX_PYTEST_ARGS
MATRIX_RUN = @$(BIN)/python tools/matrix.py --wheel .matrix/dist

matrix: $(MATRIX:%=.matrix/%/.ready) .matrix/dist/.built ## the wheel on every Airflow: fast tests, a real run, the pages (matrix-2.11 etc.: on one)
	$(MATRIX_RUN) --table $(MATRIX)

.matrix/dist/.built: $(READY) pyproject.toml README.md $(shell find airflow_provider_omnichat -type f ! -name '*.pyc')
	@rm -rf .matrix/dist && mkdir -p .matrix
	@$(BIN)/python -m build --no-isolation --wheel --outdir .matrix/dist > .matrix/build.log || { cat .matrix/build.log; exit 1; }
	@touch $@

# The Python versions that each Airflow runs on; the lower bounds are tested on the lowest.
PYTHONS_2.11 := 3.11 3.12
PYTHONS_3.0 := 3.11 3.12
PYTHONS_3.1 := 3.11 3.12 3.13
PYTHONS_3.2 := 3.11 3.12 3.13
PYTHONS_3.3 := 3.11 3.12 3.13
PYTHONS_pre := 3.11 3.12 3.13
PYTHONS_lowest := 3.11
CONSTRAINTS_lowest := lowest
# An environment of the newest pre-release that cannot be made is shown by the run, and is no reason to stop.
MAY_FAIL_pre := -

define MATRIX_RULES
.matrix/$(1)/.ready: pyproject.toml constraints/$(2).txt tools/env.sh | .matrix/dist/.built
	$(MAY_FAIL_$(1))@tools/env.sh .matrix/$(1) constraints/$(2).txt test "$(PYTHONS_$(1))" .matrix/dist && touch $$@

matrix-$(1): .matrix/$(1)/.ready .matrix/dist/.built
	$$(MATRIX_RUN) $(1)
endef
$(foreach name,$(MATRIX),$(eval $(call MATRIX_RULES,$(name),$(or $(CONSTRAINTS_$(name)),airflow-$(name)))))

# Need a machine with nothing else to do; BENCHMARK_ARGS="--rounds 1 --scale 0.2" is a quick look.
benchmark: $(READY) ## invites a second, beside other ways to send them, into docs/explanation/performance.md
	@$(BIN)/python -m benchmarks compare $(BENCHMARK_ARGS)

benchmark-growth: $(READY) ## time and memory for 1k to 100k rows (BENCHMARK_ARGS=--million for 1M, too)
	@$(BIN)/python -m benchmarks growth $(BENCHMARK_ARGS)

benchmark-pace: $(READY) ## the pace under limits and refusals by chance: the real sender in virtual time, about a minute
	@$(BIN)/python -m benchmarks pace

benchmark-pages: $(READY) ## the tab Invites with a million rows, beside Airflow's own page: about two minutes
	@$(BIN)/python -m benchmarks pages

# Strict: a broken reference, a page that is in no menu or a docstring that cannot be read fails it. Needs no network.
docs: $(READY) ## the documentation as a site, with search: build/docs/index.html
	@$(IN_NEW_HOME) $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env docs build/docs
	@echo "build/docs/index.html"

pictures: $(READY) ## the pictures of the docs, by campaigns that are sent and watched; needs Chromium
	@$(BIN)/python tools/pictures.py

constraints: $(READY) ## resolve constraints/*.txt anew (then: make matrix)
	tools/constraints.sh $(BIN)/python airflow-pre airflow-3.3 airflow-3.2 airflow-3.1 airflow-3.0 airflow-2.11 lowest

build: $(READY) ## sdist and wheel, into dist/
	$(BIN)/python -m build --no-isolation

clean: ## remove everything that make made
	rm -rf .venv .matrix .demo .outage .pictures build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
