# cadmill: the verbs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help setup demo up test check fix bench docs clean

help: ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 14

$(VENV)/ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "cadmill needs Python 3.11, 3.12 or 3.13, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv sync --quiet --frozen --all-extras
	@touch $@

setup: $(VENV)/ready ## install everything into .venv, as the lock file says

demo: setup ## the whole line on sample files, from upload to webhook, in about a minute
	@$(BIN)/cadmill demo

up: setup ## start the stack in ./cadmill-data
	@$(BIN)/cadmill up

test: setup check ## every test, and the checks
	@$(BIN)/python -m pytest

check: setup ## lint, types, the arrow of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: setup ## format, and mend what lint can mend
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: setup ## measure the line and the plain loop side by side
	@$(BIN)/python -m bench.line

clean: ## remove what setup and runs made
	rm -rf $(VENV) cadmill-data .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
