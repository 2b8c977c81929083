# Two commands do all the set-up on a fresh machine: `make demo` and `make test`. `make help` lists the rest.
# What the tools keep between runs lies under $XDG_CACHE_HOME/baseload, not in the checkout.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
SCENARIO ?= scenarios/library/flash-crowd.yaml
OUT := out/demo
WORKERS ?= 2
PYTEST_ARGS ?=

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/baseload
export RUFF_CACHE_DIR := $(CACHE)/ruff
export MYPY_CACHE_DIR := $(CACHE)/mypy
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHE)/hypothesis

VENV := .venv
RUN := $(VENV)/bin/python -m
READY := $(VENV)/.ready
PYTEST := $(RUN) pytest -o cache_dir="$(CACHE)/pytest"
CLUSTER_TESTS := $(PYTEST) tests/cluster --durations 8

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-cluster lint bench install readme constraints test-system-packages clean distclean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## simulate a bundled scenario and write its report (SCENARIO=…)
	$(VENV)/bin/baseload simulate "$(SCENARIO)" --force -o "$(OUT)"
	$(VENV)/bin/baseload report "$(OUT)" -o "$(OUT).html"
	@echo "The report: file://$(abspath $(OUT)).html"

# Not all in one run: the tests on a cluster want the machine to themselves.
test: lint test-system-packages ## lint, then every test but the benchmarks (PYTEST_ARGS='-k …': without a cluster)
	$(PYTEST) -n $(WORKERS) --dist loadfile --durations 8 $(PYTEST_ARGS)
	$(if $(PYTEST_ARGS),@echo "Left out: the tests on a cluster (make test-cluster)",$(CLUSTER_TESTS))

test-cluster: $(READY) test-system-packages ## the tests on a local cluster (as root, with Go), its programs built if need be
	$(CLUSTER_TESTS) $(PYTEST_ARGS)

lint: $(READY) ## ruff, mypy --strict, and the import table of the design
	$(RUN) ruff check .
	$(RUN) ruff format --check --quiet .
	$(RUN) mypy
	$(VENV)/bin/lint-imports --no-logo --cache-dir "$(CACHE)/import-linter"

bench: $(READY) ## the benchmarks: speed as ratios measured in one run
	$(PYTEST) tests/benchmarks --benchmark-only --benchmark-storage "file://$(CACHE)/benchmarks" $(PYTEST_ARGS)

install: $(READY) ## only make .venv, with everything in it

# One command with every package, so that the resolver sees all demands at once; the pins hold for the build too.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Baseload needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "no venv module (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing what constraints.txt names into $(VENV) (a minute or two the first time) …"
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
		$(RUN) pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# pip-compile writes down where this checkout lies, as a version of Baseload itself: that line is of no use elsewhere.
constraints: ## pin the newest versions that fit pyproject.toml (in a venv of its own)
	$(PYTHON) -m venv "$(CACHE)/pip-tools"
	"$(CACHE)/pip-tools/bin/pip" install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make constraints" "$(CACHE)/pip-tools/bin/pip-compile" --quiet --upgrade \
		--extra dev --strip-extras --allow-unsafe --annotation-style line \
		--no-emit-options --no-emit-index-url --no-emit-find-links -o constraints.txt pyproject.toml
	sed -i -e '/^baseload @/d' -e 's/via baseload, baseload (pyproject.toml)/via baseload (pyproject.toml)/' \
		constraints.txt

readme: $(READY) ## write what the README's commands print into it
	$(VENV)/bin/python scripts/console_blocks.py README.md

test-system-packages: ## Chromium, Prometheus, Redis and Buildah for the tests that use them (as root, with apt)
	@scripts/test-system-packages

clean: ## remove what runs and builds left in the checkout
	rm -rf out build dist *.egg-info .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## clean, and remove .venv too
	rm -rf $(VENV)
