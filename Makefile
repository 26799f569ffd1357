# The commands of this project. The first run of any of them sets up an environment: .venv, or .venv-3.13 and the like
# where PYTHON=python3.13 asks for another version than that of python3.

PYTHON ?= python3
version = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VERSION := $(call version,$(PYTHON))
DEFAULT := $(call version,python3)
VENV := .venv$(if $(filter $(DEFAULT),$(VERSION)),,-$(or $(VERSION),none))
BIN := $(VENV)/bin
MADE := $(VENV)/.made
READY := $(VENV)/.ready
DEMO := $(VENV)/.demo-ready
CHECKS := $(VENV)/.checks-ready
BROWSER := $(VENV)/.browser-ready
PACKAGING := $(VENV)/.packaging-ready
# An environment that was made with another version than its name says is made anew: python3 may have been upgraded.
STALE := $(if $(wildcard $(BIN)/python),$(if $(filter $(VERSION),$(call version,$(BIN)/python)),,stale))

# In several processes (see tests/conftest.py); who has nothing left to do takes over from the others.
PARALLEL := --numprocesses auto --dist worksteal
PYTEST := $(BIN)/python -m pytest $(PARALLEL)

# The frameworks of the matrix stay out of the environment that everything else runs in.
MATRIX := build/compatibility/matrix

.PHONY: help test test-all browser screenshots package lowest newest soak siege campaign compat-matrix compat-suites bench docs lint types demo format clean stale

help:
	@echo "make demo    start the example storefront (PORT=8000) on a fake Emporix, or on yours with"
	@echo "             EMPORIX_TENANT and EMPORIX_CLIENT_ID"
	@echo "make test    run everything that protects a change (ARGS='-k currency' for a part of it,"
	@echo "             PYTHON=python3.13 for another Python, in an environment of its own)"
	@echo "make test-all  the same with branch coverage, then long campaigns and everything else that is slow"
	@echo "make browser  shop in the example storefront with a real Chromium, which has to be installed: skipped without"
	@echo "make screenshots  the same for its pictures alone, and put those of the docs where they belong"
	@echo "make package  build wheel and source distribution, check them, and test the installed wheel with every Python here"
	@echo "make lowest  run the tests with the oldest releases that pyproject.toml allows; make newest with the newest ones"
	@echo "make soak    a million simulated requests among faults; it must print 0 violations"
	@echo "make siege   300,000 requests to real workers, a Redis is killed meanwhile; it must print 0 violations"
	@echo "make campaign  the same, set-up by set-up: the table of docs/workers.md"
	@echo "make compat-matrix  servers and frameworks against each other: the table of docs/compatibility.md"
	@echo "make compat-suites  the newest Starlette's and FastAPI's own tests, every application wrapped"
	@echo "make bench   measure what the middleware costs (ARGS=--quick to see that it runs): build/bench"
	@echo "make docs    build the documentation as a site, and fail where a link leads nowhere: build/docs/site"
	@echo "make lint    check style          make format  repair style"
	@echo "make types   check types          make clean   remove what the commands made"

$(MADE): $(STALE)
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(if $(STALE),--clear) $(VENV)
	@touch $(MADE)

$(READY): pyproject.toml $(MADE)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[fastapi,jinja,testing]" --group test
	@touch $(READY)

# Who only looks does not wait for what tests need.
$(DEMO): pyproject.toml $(MADE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo]"
	@touch $(DEMO)

# Who only runs the tests does not wait for these.
$(CHECKS): $(READY)
	$(BIN)/python -m pip install --quiet --group lint --group types --group browser
	@touch $(CHECKS)

# What drives a browser takes as much room as all the rest: the other tests do without.
$(BROWSER): $(READY)
	$(BIN)/python -m pip install --quiet --group browser
	@touch $(BROWSER)

test: $(READY)
	$(PYTEST) -m "not slow and not nginx and not browser" $(ARGS)

# What is slow plays the same code for longer: measuring it would take minutes and find no further line.
test-all: $(READY)
	$(BIN)/python -m tests.second_chance $(PARALLEL) -m "not slow and not browser" --cov --cov-report=term-missing $(ARGS)
	$(BIN)/python -m tests.second_chance $(PARALLEL) -m slow $(ARGS)

# One browser for each of two processes: more of them would only wait for the processor.
browser: $(BROWSER)
	$(BIN)/python -m tests.second_chance --numprocesses 2 --dist worksteal tests/browser $(ARGS)

screenshots: $(BROWSER)
	BROWSER_REQUIRED=1 $(BIN)/python -m pytest tests/browser -k pictures $(ARGS)
	cp build/screenshots/docs/* docs/images/

# uv makes an environment in seconds, of which this needs several. It trusts whom the machine trusts, as pip does.
export UV_SYSTEM_CERTS := 1
$(PACKAGING): $(READY)
	$(BIN)/python -m pip install --quiet "uv>=0.13,<1"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group package
	@touch $(PACKAGING)

package: $(PACKAGING)
	$(BIN)/python -m tests.wheel $(ARGS)

lowest newest: $(PACKAGING)
	$(BIN)/python -m tests.wheel.bounds $@ $(if $(ARGS),-- $(ARGS))

soak: $(READY)
	$(BIN)/python -m tests.simulation --setup "one process" --setup "3 workers, store" --seeds 0:120 $(ARGS)

siege: $(READY)
	$(BIN)/python -m tests.workers $(ARGS)

campaign: $(READY)
	$(BIN)/python -m tests.simulation.table --seeds 30 $(ARGS)

$(MATRIX)/.ready: pyproject.toml
	$(PYTHON) -m venv $(MATRIX)
	$(MATRIX)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(MATRIX)/bin/python -m pip install --quiet --editable ".[fastapi,testing]" --group compatibility
	@touch $@

compat-matrix: $(MATRIX)/.ready
	$(MATRIX)/bin/python -m tests.compatibility.matrix $(ARGS)

compat-suites: $(READY)
	$(BIN)/python -m tests.compatibility.suites $(ARGS)

bench: $(READY)
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(CHECKS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(CHECKS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(CHECKS)
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pyright --pythonpath $(BIN)/python --project tests/type_checks/pyrightconfig.json

# Newer releases of the generator need a package that is not to be had everywhere, and pip takes this one then.
docs: $(READY)
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/python docs/build_site.py

demo: $(DEMO)
	$(BIN)/python -m session_ctx_middleware.cli demo --port $(or $(PORT),8000)

clean:
	rm -rf .venv .venv-* dist build .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
