# cadmill: the verbs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
export UV_PYTHON_DOWNLOADS := never
# certificates of the machine, as pip and curl use them: a company may have its own
export UV_SYSTEM_CERTS := true
# where bytecode is not kept, each of a stack's processes compiles a thousand modules before it does anything
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup libraries demo up test check fix bench growth step quality duplicates live fuzz models faults contract cancels poison tampers webhooks limits permits docs proto clean

help: ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 14

$(VENV)/ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "cadmill needs Python 3.11, 3.12 or 3.13, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv sync --quiet --frozen --all-extras --no-extra fuzz
	@touch $@

setup: $(VENV)/ready libraries ## install everything into .venv, as the lock file says

# the geometry kernel of STEP and IGES is a wheel that is linked to these three; all else works without them
LIBRARIES := libgl1 libx11-6 libexpat1

libraries: $(VENV)/ready
	@$(BIN)/python -c 'import ctypes; [ctypes.CDLL(name) for name in ("libGL.so.1", "libX11.so.6", "libexpat.so.1")]' 2>/dev/null || \
	  { test "$$(id -u)" = 0 && command -v apt-get && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(LIBRARIES); } >/dev/null 2>&1 || \
	  echo "STEP and IGES files need three system libraries; as root: apt-get update && apt-get install -y --no-install-recommends $(LIBRARIES)"

demo: setup ## the whole line on sample files, from upload to webhook, in about a minute
	@$(BIN)/cadmill demo

up: setup ## start the stack in ./cadmill-data
	@$(BIN)/cadmill up

# three on two cores: most tests wait for processes half of the time
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
# what hurts processes and waits for them is not mixed with what computes
APART := tests/faults
# what failed beside others is asked once more by itself: both answers are shown, and a test that passes only then wants mending
ALONE := $(BIN)/python -m pytest --last-failed --last-failed-no-failures none --maxfail 3

test: setup check ## every test, and the checks
	@$(PYTEST) $(APART:%=--ignore=%) || $(ALONE)
	@$(PYTEST) $(APART) || $(ALONE)

check: setup ## lint, types, the arrow of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: setup ## format, and mend what lint can mend
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: setup ## measure the engine, the index and what stands around calls beside their libraries, and the line beside the plain loop
	@$(BIN)/python -m bench.engine $(ARGS)
	@$(BIN)/python -m bench.index
	@$(BIN)/python -m bench.line --write
	@$(BIN)/python -m bench.resilience

growth: setup ## cost per item and memory up to a million items in a job and 5,000,000 in history; ARGS="--postgresql --write"
	@$(BIN)/python -m bench.growth $(ARGS)

step: setup ## STEP files without the kernel beside the kernel, all of them: coverage, ratio, differences; ARGS=--write
	@$(BIN)/python -m bench.step $(ARGS)

quality: setup ## measure how well vectors find what they should
	@$(BIN)/python -m bench.quality $(ARGS)

duplicates: setup ## find the planted duplicates among real files; ARGS=--write for docs/duplicates.md
	@$(BIN)/python -m bench.duplicates $(ARGS)

live: setup ## 1,000 who listen at once, with and without 100 slow readers; ARGS="--connections 2000"
	@$(BIN)/python -m bench.live $(ARGS)

fuzz: setup ## mutants of real and bad files through the sandbox; ARGS="--minutes 60" for an hour
	@$(BIN)/python -m tests.fuzz $(ARGS)

models: setup ## the models through Spin, and the ledger's verbs in 2,000 random orders
	@$(BIN)/python -m tests.models $(ARGS)

faults: setup ## kill, freeze and lie to real processes for ten minutes, and judge what is left; ARGS="--help"
	@$(BIN)/python -m tests.faults.campaign $(ARGS)

contract: setup ## Schemathesis against the live documents of v1 and v2, for 20 minutes; ARGS="--minutes 60 --database postgresql"
	@$(BIN)/python -m tests.contract $(ARGS)

cancels: setup ## 5000 cancels at random moments in every pool, judged
	@$(BIN)/python -m tests.faults.cancels $(ARGS)

poison: setup ## 100 files that kill their reader among 2000 good ones
	@$(BIN)/python -m tests.faults.poison $(ARGS)

tampers: setup ## change the audit trail 1,000 times in each way behind its guards, and prove that each is found; ARGS=--postgresql
	@$(BIN)/python -m tests.ledger.trail $(ARGS)

webhooks: setup ## 1000 messages to a hostile receiver while couriers are killed, judged; ARGS="--database postgresql"
	@$(BIN)/python -m tests.faults.webhooks $(ARGS)

limits: setup ## four API processes at their rate limit while Redis dies and returns; ARGS="--seconds 60"
	@$(BIN)/python -m tests.faults.limits $(ARGS)

permits: setup ## 32 threads of 100,000 calls that raise, give up and are interrupted, through every part around a call
	@$(BIN)/python -m tests.foundation.hammer $(ARGS)

docs: setup ## draw docs/states.md, write docs/errors.md, the OpenAPI documents docs/openapi-v*.json and what v1 promises
	@$(BIN)/python -m tests.models.drawing
	@$(BIN)/python -m tests.foundation.code_page
	@$(BIN)/python -m tests.contract.documents

PROTO := api/grpc/cadmill/v1/cadmill.proto

proto: setup ## generate the Python of the gRPC protocol from its .proto file
	@$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. $(PROTO)

clean: ## remove what setup and runs made
	rm -rf $(VENV) cadmill-data .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
