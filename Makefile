# python3 and make are all a fresh machine needs: every target makes the environment it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test faults soak fuzz long lint bench stress simulate dev clean lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "taskflow needs Python 3.11 or newer, and $(PYTHON) is %d.%d: try make PYTHON=python3.11" % sys.version_info[:2])'
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	@touch $@

demo: $(READY) ## run example tasks on a real Temporal server and check every run (DEMO_SECONDS=60)
	@$(BIN)/taskflow demo

# Hundreds of processes: what is compiled is kept, also where Python is told not to.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(READY) ## all tests, on a real Temporal server
	@$(BIN)/python -m pytest --cache-clear -n 4 --dist loadscope || { test $$? -eq 1 || exit 2; \
		echo; echo "Once more, one by one: what failed beside others on a busy machine."; \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

faults: export PYTHONDONTWRITEBYTECODE :=
faults: export SEED := $(SEED)
faults: $(READY) ## every fault of docs/faults.md and its proof (ROWS=7,24 SEED=1)
	@$(BIN)/python -m pytest -m fault -p tests.faults.plugin --rows "$(ROWS)"

soak: export SEED := $(SEED)
soak: export SOAK_SECONDS := $(SOAK_SECONDS)
soak: $(READY) ## faults at random, again and again (SOAK_SECONDS=300 SEED=1)
	@$(BIN)/python -m pytest -m soak tests/faults/test_soak.py

fuzz: $(READY) ## inputs made at random, round after round (FUZZ_SECONDS=600 FUZZ_SEED=1)
	@$(BIN)/python -m tests.fuzz

long: $(READY) ## the tests that take minutes
	@$(BIN)/python -m pytest -m soak

lint: $(READY) ## ruff, mypy and the import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(READY) ## our runs against bare Temporal, memory and microseconds, into docs/benchmarks.md
	@$(BIN)/python -m benchmarks.page

stress: $(READY) ## 10,000 tasks of 100 tenants at once, and the oracle's verdict (an hour)
	@$(BIN)/python -m benchmarks.stress --json .taskflow/stress.json

simulate: $(READY) ## a million tasks of 5,000 tenants through the code that decides, no server
	@$(BIN)/python -m benchmarks.million

dev: $(READY) ## Temporal, worker, API and sandbox as one process tree, until Ctrl-C
	@$(BIN)/taskflow dev

lock: $(READY) ## rebuild requirements.lock from pyproject.toml
	@$(BIN)/pip-compile --quiet --all-extras --generate-hashes --allow-unsafe --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
		--output-file requirements.lock pyproject.toml

clean: ## remove the environment, caches and the state of `make dev`
	@rm -rf $(VENV) .taskflow .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
