# Every target works from a bare checkout: Python 3.10 or later with venv, and make, are enough.
# `make setup` is run by the others; the stamp makes it free from the second time on.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.cresset-setup
# Test workers. Each keeps its own BLAS to one thread (tests/conftest.py).
JOBS   ?= 2

.PHONY: help setup demo test test-recorded test-eager doctest lint format bench clean

help:
	@echo "make setup   a virtual environment in $(VENV) with Cresset and all extras"
	@echo "make demo    train the digits example (examples/digits.py)"
	@echo "make test    the tests recorded, the tests eager, the docstrings' examples"
	@echo "make lint    ruff and mypy"
	@echo "make format  let ruff rewrite the files"
	@echo "make bench   the benchmarks, beside the peers installed"

setup: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	@touch $(STAMP)

demo: setup
	$(BIN)/python examples/digits.py

test: test-recorded test-eager doctest

test-recorded: setup
	$(BIN)/python -m pytest -q -n $(JOBS)

test-eager: setup
	CRESSET_MODE=eager $(BIN)/python -m pytest -q -n $(JOBS)

doctest: setup
	$(BIN)/python -m pytest -q --doctest-modules src/cresset

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
