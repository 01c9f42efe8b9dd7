# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
#
# uv trusts the certificates that the system trusts, as a company's proxy needs; UV_SYSTEM_CERTS=0
# makes it trust its own.
#
# Every target sets up what it needs: .venv is made once, and again when the dependencies change.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One process more than there are cores: some tests wait for servers and clocks.
JOBS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1 )))
PYTEST_ARGS ?=
BENCHES := $(basename $(notdir $(wildcard tests/bench/bench_*.py)))
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup lint format quick test slow bench fuzz reference demo docs wheel clean

help:
	@echo 'make demo     set up, then the hit tagger to every target, with reports, in runs/demo'
	@echo 'make test     set up, then run the test suite (minutes)'
	@echo 'make quick    the inner loop: tests of what has changed, layers, types, one run from end to end'
	@echo 'make lint     style, formatting, types'
	@echo 'make format   mend style and formatting'
	@echo 'make slow     the long tests;  make fuzz   long random searches'
	@echo 'make bench    speed and memory, side by side with what there was before'
	@echo 'make reference  train the reference models and renew reports/reference (hours)'
	@echo 'make docs     the documentation as a site, in build/site'
	@echo 'make wheel    dist/*.whl;  make setup   only .venv;  make clean   remove what was made'

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'edgeinfer needs Python 3.11 or newer; say which one with make PYTHON=/path/to/python'; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo 'This Python cannot make a virtual environment; on Debian: apt-get install python3-venv'; exit 2; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	UV_SYSTEM_CERTS=$${UV_SYSTEM_CERTS-1} $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,rtl]'
	@touch $(READY)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup
	$(TEST) -n $(JOBS) $(PYTEST_ARGS)

quick: setup
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(TEST) -n $(JOBS) -q $$($(BIN)/python -m tests.support.changed) $(PYTEST_ARGS)

slow: setup
	$(TEST) -n $(JOBS) -m slow $(PYTEST_ARGS)

fuzz: setup
	$(TEST) -n $(JOBS) -m fuzz $(PYTEST_ARGS)

bench: setup
	@set -e; for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python -m tests.bench.$$bench; done

reference: setup
	$(BIN)/python -m reports.make.zoo --commit
	$(BIN)/python -m reports.make.quantization
	$(BIN)/python -m reports.make.mixed
	$(BIN)/python -m reports.make.pixels
	$(BIN)/python -m reports.make.results
	$(BIN)/python -m reports.make.rtl
	$(BIN)/python -m reports.make.layers

demo: setup
	$(BIN)/edgeinfer demo -o runs/demo

docs: setup
	UV_SYSTEM_CERTS=$${UV_SYSTEM_CERTS-1} $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[docs]'
	$(BIN)/python -m mkdocs build --quiet --strict

wheel: setup
	$(BIN)/uv build --quiet --wheel --python $(BIN)/python --out-dir dist

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
