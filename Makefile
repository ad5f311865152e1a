# Set-up included: nothing but Python (3.10 or newer) with venv, git and make is needed.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SOURCES := pyproject.toml dvc-studio-models.pth

# Tests wait more than they compute: more workers than processors.
WORKERS ?= 6
PYTEST  := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: help demo test test-slow test-servers reliability mutants check bench bench-serve soak picture screenshots clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/.installed-serve  ## build a registry in a temporary folder, serve it, pull from it
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

test: $(VENV)/.installed-tests  ## run all tests but the slow ones
	$(PYTEST) -m 'not slow' $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-tests  ## run the slow tests: every kill, real stores, packaging, docs
	KILL_ALL=1 $(PYTEST) -m slow $(PYTEST_ARGS)

test-servers:  ## install the stores that tests run against (S3, Azure, nginx) into .test-servers/
	@bash tests/e2e/install_stores.sh

reliability: $(VENV)/.installed-tests  ## try every fault, and write docs/reliability.md
	KILL_ALL=1 $(PYTEST) -q -m reliability -p reliability --reliability docs/reliability.md $(PYTEST_ARGS)

mutants: $(VENV)/.installed-tests  ## check that a test fails without each guard; writes tests/mutants.txt
	$(BIN)/python tests/mutate_guards.py

check: $(VENV)/.installed-tests  ## formatting, lint, spelling, types on Linux and macOS
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy --platform linux --cache-dir .mypy_cache/linux
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin

bench: $(VENV)/.installed-serve  ## measure against other tools; writes benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks

picture: $(VENV)/.installed-picture  ## draw docs/pull.svg from a real run of the demo
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python examples/record.py docs/pull.svg

screenshots: $(VENV)/.installed-tests  ## take docs/page-*.png with chromium
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python examples/screenshots.py docs

bench-serve: $(VENV)/.installed-tests  ## measure the server; writes benchmarks/SERVE.md
	@$(BIN)/python -m benchmarks.serve

soak: $(VENV)/.installed-tests  ## serve 50 clients for 10 minutes while everything changes; writes benchmarks/SOAK.md
	@$(BIN)/python -m benchmarks.serve.soak

clean:  ## remove the environment and what tests leave
	rm -rf $(VENV) build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis

# uv resolves DVC's dependencies in seconds; pip alone may take minutes.
$(VENV)/bin/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip uv

$(VENV)/.installed-%: $(SOURCES) | $(VENV)/bin/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[$*]'
	@touch $@
