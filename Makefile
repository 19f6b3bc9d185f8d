# `make demo` and `make test` are all that a newcomer needs; both set themselves up. `make help` lists the rest.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Airflow starts processes all the time, which take twice as long to start where Python may not keep what it compiled.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
MARKETING ?= sqlite
PORT ?= 8443
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := $(BIN)/uv
# A JavaScript client that the local Dynamics is tested with, run by the node of a Python wheel.
NODE_CLIENT := tests/clients/dynamics_web_api
NODE_STAMP := $(NODE_CLIENT)/node_modules/.package-lock.json
# dlt and what the floor loop needs: rivals of the benchmark, in an environment of their own.
RIVALS := build/bench-venv
RIVALS_STAMP := $(RIVALS)/.installed
# Airflow's providers for Celery and S3, a broker and an object store: in an environment of their own too, as Airflow
# looks at each provider that is installed whenever it starts.
SCALE := build/scale-venv
SCALE_STAMP := $(SCALE)/.installed
# requirements.txt is named too, as uv remembers what a pyproject.toml led to while only that other file changes.
# The scale demo takes the tested set and adds to it.
RESOLVE := $(UV) pip compile --universal --python-version 3.11 --no-annotate --no-header -q
COMPILE := $(RESOLVE) pyproject.toml requirements.txt --all-extras --group dev
COMPILE_SCALE := $(RESOLVE) scale/requirements.in constraints.txt

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: $(STAMP) ## Install the tested set of packages into .venv; quick when nothing changed

$(STAMP): constraints.txt requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Next: make setup PYTHON=<path of a newer one>"; exit 1; }
	@echo "Installing packages into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet -r constraints.txt -e .
	@touch $@

.PHONY: demo
demo: $(STAMP) ## Start everything, sync a sample organisation both ways, and compare both sides (MARKETING=postgres for PostgreSQL, PROFILE=customised for another kind of tenant)
	@$(BIN)/python -m dynamics_demo demo --marketing $(MARKETING) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

.PHONY: demo-faults
demo-faults: $(STAMP) ## Run the demo anew under each fault of the local Dynamics and print which ended equal; about an hour, and .local is lost
	@mkdir -p build; failed=0; \
	for fault in $${FAULTS:-$$($(BIN)/python -c 'from dynamics_emulator.control.faults import Fault; print(*Fault)')}; do \
		$(MAKE) --no-print-directory stop >/dev/null; rm -rf .local; log=build/demo-$$fault.log; began=$$SECONDS; \
		if $(BIN)/python -m dynamics_demo demo --fault $$fault >$$log 2>&1; \
		then echo "$$fault: equal after $$((SECONDS - began)) s"; else echo "$$fault: FAILED, see $$log"; failed=1; fi; \
	done; $(MAKE) --no-print-directory stop >/dev/null; exit $$failed

.PHONY: up
up: $(STAMP) ## Start the same installation without the demonstration
	@$(BIN)/python -m dynamics_demo up --marketing $(MARKETING)

.PHONY: stop
stop: ## End what demo or up started; the data stays in .local
	@if test -d .local; then $(BIN)/python -m dynamics_demo stop; else echo "Nothing was running."; fi

$(NODE_STAMP): $(NODE_CLIENT)/package-lock.json | $(STAMP)
	@$(BIN)/npm ci --silent --no-audit --no-fund --prefix $(NODE_CLIENT)
	@touch $@

.PHONY: test
test: $(STAMP) $(NODE_STAMP) ## Run all tests (ARGS='-k name' to choose)
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: lint
lint: $(STAMP) ## Check style and formatting with ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: $(STAMP) ## Check types with mypy in strict mode
	@$(BIN)/mypy include plugins

.PHONY: lock
lock: $(STAMP) ## Resolve the requirements anew and write constraints.txt
	@$(COMPILE) --upgrade -o constraints.txt
	@$(COMPILE_SCALE) --upgrade -o scale/requirements.txt

.PHONY: lock-check
lock-check: $(STAMP) ## Check that constraints.txt is what satisfies the requirements; newer releases do not matter
	@copy=$$(mktemp); trap 'rm -f "$$copy"' EXIT; \
	check() { lock=$$1; shift; cp "$$lock" "$$copy"; \
		"$$@" --offline -o "$$copy" 2>/dev/null || "$$@" -o "$$copy" \
			|| { echo "$$lock could not be checked: the requirements contradict each other, or no package index answers"; exit 1; }; \
		diff "$$lock" "$$copy" \
			|| { echo "$$lock is not what satisfies the requirements. Next: make lock"; exit 1; }; }; \
	check constraints.txt $(COMPILE); check scale/requirements.txt $(COMPILE_SCALE)

.PHONY: emulator
emulator: $(STAMP) ## Run the local Dynamics alone, in the foreground (ROWS=12000 PORT=8443 CONTROL_PORT=8444 PROFILE=standard SEED=7 FOLDER=.local/emulator)
	@exec $(BIN)/python -m dynamics_emulator serve --folder '$(or $(FOLDER),.local/emulator)' --port $(PORT) \
		--control-port $(or $(CONTROL_PORT),$(if $(filter 0,$(PORT)),0,$(shell expr $(PORT) + 1 2>/dev/null))) \
		$(if $(ROWS),--rows $(ROWS)) $(if $(PROFILE),--profile $(PROFILE)) $(if $(SEED),--seed $(SEED)) $(ARGS)

$(RIVALS_STAMP): bench/requirements.txt | $(STAMP)
	@$(UV) venv --quiet --clear --python $(BIN)/python $(RIVALS)
	@VIRTUAL_ENV=$(RIVALS) $(UV) pip install --quiet -r bench/requirements.txt
	@touch $@

.PHONY: bench
bench: $(STAMP) $(RIVALS_STAMP) ## Measure the sync side by side with other ways and print a report (ONLY=incremental for one part; BENCH_ROWS=10000000 for a further size; ARGS='--write docs/benchmarks.md' keeps it)
	@$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

$(SCALE_STAMP): scale/requirements.txt | $(STAMP)
	@echo "Installing packages into $(SCALE)"
	@$(UV) venv --quiet --clear --python $(BIN)/python $(SCALE)
	@VIRTUAL_ENV=$(SCALE) $(UV) pip install --quiet -r scale/requirements.txt -e .
	@touch $@

.PHONY: scale-demo
scale-demo: $(SCALE_STAMP) ## Copy 1,000,000 rows with CeleryExecutor, workers on machines of their own and an object store, kill workers meanwhile, and compare (ROWS=50000; ARGS='--write docs/scale-demo.md' keeps the report)
	@exec $(SCALE)/bin/python -m scale run --rows $(or $(ROWS),1000000) $(ARGS)

.PHONY: scale-stop
scale-stop: ## End what a scale demo left running, should it have been killed itself
	@if test -d .local-scale; then $(SCALE)/bin/python -m scale stop; else echo "Nothing was running."; fi

.PHONY: soak
soak: $(STAMP) ## Play thousands of random edits, runs and crashes on both sides and check the promises and the laws of the merge (EXAMPLES=5000)
	@SOAK_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/pytest -n 2 tests/promises/test_two_way_machine.py tests/dynamics_sync/store/test_three_way_laws.py $(ARGS)

.PHONY: bench-emulator
bench-emulator: $(STAMP) ## Measure the local Dynamics and print a table (ROWS=1000000; ARGS='--write file.md' keeps it)
	@$(BIN)/python -m bench.emulator --rows $(or $(ROWS),1000000) $(ARGS)

.PHONY: clean
clean: ## End what runs, and remove its data and all caches; .venv stays
	@if test -d .local; then $(BIN)/python -m dynamics_demo stop; fi
	@if test -d .local-scale -a -x $(SCALE)/bin/python; then $(SCALE)/bin/python -m scale stop; fi
	@rm -rf .local .local-scale .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
