# Every target that needs the environment makes or updates .venv first; when nothing changed, that takes no time.
#   make test PYTHON=/path/to/python3.10     choose the interpreter .venv is made from
#   make test ARGS="tests/compiler -k fold"  hand more arguments to the command behind a target
#   make test JOBS=2                         run test files in two processes (pays off once a run takes minutes)

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test test-all check lint layout types format hooks constraints clean

BIN := .venv/bin
ARGS ?=
JOBS ?= 1
PYTEST = $(BIN)/pytest $(if $(filter-out 0 1,$(JOBS)),-n $(JOBS) --dist loadfile)

help: ## list the targets
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## find or get Python 3.10, make .venv, install everything
	@scripts/setup

demo: setup ## a trained, pruned spiking transformer from model to chip, and what it costs
	$(BIN)/pumice demo $(ARGS)

test: setup ## the tests, without the slow ones
	$(PYTEST) -m "not slow" $(ARGS)

test-all: setup ## every test
	$(PYTEST) $(ARGS)

check: lint layout types ## ruff check, ruff format --check, mypy strict

lint: setup
	$(BIN)/ruff check

layout: setup
	$(BIN)/ruff format --check

types: setup
	$(BIN)/mypy

format: setup ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

hooks: setup ## run the checks at every git commit
	$(BIN)/pre-commit install

constraints: setup ## write constraints.txt from what .venv holds
	scripts/write_constraints

clean: ## remove caches and build output; .venv stays
	rm -rf build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find bench compiler examples hwsim models runtime src tests -name __pycache__ -type d -prune -exec rm -rf {} +
