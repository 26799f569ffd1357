# The commands of this project. The first run of any of them sets up .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help test soak siege campaign bench lint types demo format clean

help:
	@echo "make demo    start the example storefront (PORT=8000) on a fake Emporix, or on yours with"
	@echo "             EMPORIX_TENANT and EMPORIX_CLIENT_ID"
	@echo "make test    run all tests, with branch coverage"
	@echo "make soak    a million simulated requests among faults; it must print 0 violations"
	@echo "make siege   300,000 requests to real workers, a Redis is killed meanwhile; it must print 0 violations"
	@echo "make campaign  the same, set-up by set-up: the table of docs/workers.md"
	@echo "make bench   measure what the middleware costs (ARGS=--quick to see that it runs): build/bench"
	@echo "make lint    check style          make format  repair style"
	@echo "make types   check types          make clean   remove what the commands made"

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[fastapi,jinja,testing]" --group dev
	@touch $(READY)

test: $(READY)
	$(BIN)/python -m pytest --cov --cov-report=term-missing $(ARGS)

soak: $(READY)
	$(BIN)/python -m tests.simulation --seeds 0:2000 --operations 520 $(ARGS)

siege: $(READY)
	$(BIN)/python -m tests.workers $(ARGS)

campaign: $(READY)
	$(BIN)/python -m tests.simulation.table --seeds 400 $(ARGS)

bench: $(READY)
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy
	$(BIN)/pyright

demo: $(READY)
	$(BIN)/python examples/demo.py

clean:
	rm -rf $(VENV) dist build .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
