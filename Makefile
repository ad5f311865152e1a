# Set-up included: nothing but Python (3.10 or newer) with venv, git and make is needed.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SOURCES := pyproject.toml dvc-studio-models.pth

# Tests wait more than they compute: more workers than processors.
WORKERS ?= 6
PYTEST  := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

WORKFLOWS := .github/workflows/*.yml examples/github-actions.yml examples/update-models.yml
BUILD_REQUIREMENTS := releasing/build-requirements.txt
SBOM := dvc-studio-models.cdx.json

need_python = $(PYTHON) -c 'import sys; sys.version_info >= ($(1), $(2)) or \
	sys.exit("ERROR: Python $(1).$(2) or newer is needed; name one, as PYTHON=python3.12")'

.PHONY: help demo test test-fallbacks test-folding test-slow test-matrix test-servers coverage reliability mutants check bench bench-serve soak picture screenshots \
	build-requirements dist check-dist try-dist sbom release check-tag release-text newest-dvc clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%s\t%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-serve  ## build a registry in a temporary folder, serve it, pull from it
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

test: $(VENV)/.installed-tests  ## run all tests but the slow ones
	$(PYTEST) -m 'not slow' $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-tests  ## run the slow tests: every kill, real stores, packaging, docs
	KILL_ALL=1 $(PYTEST) -m slow $(PYTEST_ARGS)

test-fallbacks: $(VENV)/.installed-tests  ## run the tests of files and pulls without what only Linux has
	PYTHONPATH="$(CURDIR)/tests/without_linux" $(PYTEST) -m 'not linux and not slow' \
	  tests/files tests/store tests/transfer tests/e2e/test_pull.py $(PYTEST_ARGS)

test-folding: $(VENV)/.installed-tests  ## run the tests of files where names are found as on macOS (FUSE)
	for kind in apfs hfs+; do \
	  $(BIN)/python tests/folding_fs.py run $$kind $(PYTEST) --basetemp={}/tests \
	    -m 'not linux and not slow' tests/files tests/store/parts tests/store/user $(PYTEST_ARGS) || exit; \
	done

test-matrix: $(VENV)/.installed-tests  ## run the quick tests with each Python and DVC (CELLS='3.10-dvc3.50'); writes CONTRIBUTING.md
	CELLS='$(CELLS)' WORKERS='$(WORKERS)' $(BIN)/nox --envdir .matrix -- $(PYTEST_ARGS)

test-servers:  ## install the stores that tests run against (S3, Azure, nginx) into .test-servers/
	@bash tests/e2e/install_stores.sh

coverage: $(VENV)/.installed-tests  ## run the quick and the slow tests, and check how much of the code they run
	$(MAKE) test PYTEST_ARGS='--cov --cov-report= --cov-fail-under=0'
	$(MAKE) test-slow PYTEST_ARGS='--cov --cov-report= --cov-fail-under=0 --cov-append'
	$(BIN)/coverage report

reliability: $(VENV)/.installed-tests  ## try every fault, and write docs/reliability.md
	KILL_ALL=1 $(PYTEST) -q -m reliability -p reliability --reliability docs/reliability.md $(PYTEST_ARGS)

mutants: $(VENV)/.installed-tests  ## check that a test fails without each guard; writes tests/mutants.txt
	$(BIN)/python tests/mutate_guards.py

check: $(VENV)/.installed-tests  ## formatting, lint, spelling, types on Linux and macOS, workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy --platform linux --cache-dir .mypy_cache/linux
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin
	$(BIN)/actionlint -shellcheck= -pyflakes= $(WORKFLOWS)
	$(BIN)/zizmor --offline --quiet --no-progress --pedantic .github
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

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

build-requirements: $(VENV)/bin/uv  ## pin the newest that "make dist" builds with
	@sed -n '/^#/p' $(BUILD_REQUIREMENTS) > $(BUILD_REQUIREMENTS).new
	@printf 'hatchling\nhatch-fancy-pypi-readme\n' | $(BIN)/uv pip compile --quiet --universal \
		--python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--no-emit-find-links - >> $(BUILD_REQUIREMENTS).new \
		|| { rm $(BUILD_REQUIREMENTS).new; exit 1; }
	@mv $(BUILD_REQUIREMENTS).new $(BUILD_REQUIREMENTS)

dist: .venv-backend/.installed  ## build sdist and wheel twice, compare, write dist/
	@.venv-backend/bin/python -m releasing.dist $(if $(value VERSION),--version "$$VERSION") dist

check-dist: $(VENV)/.installed-release  ## check the metadata and the content of what is in dist/
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	$(BIN)/check-wheel-contents dist/*.whl

try-dist: $(VENV)/bin/uv  ## install dist/'s wheel in a new environment, run the demo with it
	@set -- dist/*.whl; [ -e "$$1" ] || { echo "ERROR: dist/ has no wheel: run 'make dist' first"; exit 1; }
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-trial
	@for wheel in dist/*.whl; do $(BIN)/uv pip install --quiet --compile-bytecode \
		--python .venv-trial/bin/python "$$wheel[serve]"; done
	@PATH="$(CURDIR)/.venv-trial/bin:$$PATH" bash examples/demo.sh

sbom: $(VENV)/.installed-release  ## list what "make try-dist" installed, in dist/
	@$(BIN)/python -m releasing.bom .venv-trial/bin/python dist/$(SBOM)

release:  ## date the changelog, commit and tag VERSION; push nothing
	@$(call need_python,3,10)
	@exec $(PYTHON) -m releasing.release "$$VERSION"

newest-dvc: $(VENV)/.installed-tests  ## fail if a newer DVC is out than is installed
	@outdated=$$($(BIN)/uv pip list --quiet --python $(BIN)/python --outdated) || exit; \
	if echo "$$outdated" | grep -E '^dvc '; then exit 1; fi

check-tag:  ## fail if the commit that is checked out is not in origin's main
	@git merge-base --is-ancestor HEAD origin/main || { echo "ERROR: this commit is not in origin's main"; exit 1; }

release-text:  ## print the changelog's section of VERSION
	@$(call need_python,3,10)
	@$(PYTHON) -m releasing.changelog "$$VERSION"

clean:  ## remove the environment and what tests leave
	rm -rf $(VENV) .venv-backend .venv-trial dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .matrix

# Needs no tool whose hash is not pinned. Python 3.11 or newer.
.venv-backend/.installed: $(BUILD_REQUIREMENTS)
	@$(call need_python,3,11)
	@rm -rf .venv-backend
	@$(PYTHON) -m venv .venv-backend
	@.venv-backend/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r $<
	@touch $@

# uv resolves DVC's dependencies in seconds; pip alone may take minutes.
$(VENV)/bin/uv:
	@$(call need_python,3,10)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip uv

$(VENV)/.installed-%: $(SOURCES) | $(VENV)/bin/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[$*]'
	@touch $@
