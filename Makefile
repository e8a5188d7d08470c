# PayGatePrime. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage lint types render up down bench crash storm transfers mutants races chaos containers docs clean lock
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# pip and npm run again only when what they install has changed.
PY_STAMP := .venv/.made-$(shell cat requirements-dev.txt pyproject.toml 2>/dev/null | cksum | cut -d' ' -f1)-$(words $(wildcard PGP_*/__init__.py))
NPM_STAMP := node_modules/.made-$(shell cat package-lock.json 2>/dev/null | cksum | cut -d' ' -f1)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
COMPILE := $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# The venv's programs come first, so that npm finds a node that was installed there.
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: $(PY_STAMP) $(NPM_STAMP) ## everything into .venv and node_modules of this checkout; quick when nothing has changed

$(PY_STAMP):
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --no-deps --require-hashes -r requirements-dev.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@rm -f .venv/.made-* && touch $@

$(NPM_STAMP): | $(PY_STAMP)
	@command -v npm >/dev/null || $(PIP) install --no-deps --require-hashes -r deploy/local/node.txt
	npm ci --no-audit --no-fund --loglevel=error
	@rm -f node_modules/.made-* && touch $@

demo: setup ## a buyer subscribes, pays and is let in; the owner is paid out on chain: all of it here, in a minute
	$(BIN)/pgp demo

test: setup ## every test but the long ones
	$(BIN)/python -m pytest -n 2 --dist loadgroup

coverage: setup ## the same tests, measured: at least 80 % (twice as long)
	$(BIN)/python -m pytest -n 2 --dist loadgroup --cov --cov-fail-under=80

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy, strict
	$(BIN)/mypy

render: setup ## write what is derived from the manifest and the migrations
	$(BIN)/pgp migrate dump
	$(BIN)/pgp fleet render

up: setup ## the fleet on this machine, in the background
	$(BIN)/pgp up --detach

down: ## end it
	$(BIN)/pgp down

bench: setup ## how fast, how much memory
	$(BIN)/python -m bench

crash: setup ## the fleet in one process, stopped between every two things it does; writes docs/crash-matrix.md (half an hour)
	$(BIN)/python -m tests.simulation.crash --write

storm: setup ## 300 seeded worlds through PostgreSQL: lost answers, evictions, re-organisations, crashes (half an hour)
	$(BIN)/python -m tests.simulation.storm --seeds 300

transfers: setup ## 20 000 seeded worlds of the transfer machine in memory, with and without the known mistakes
	$(BIN)/python -m tests.simulation.transfers --mistakes

mutants: setup ## plant each known mistake into a copy, and say which test notices it (half an hour)
	$(BIN)/python -m tests.simulation.mutants

races: setup ## races and properties with many more threads, histories and transfers (half an hour)
	$(BIN)/python -m pytest -n 2 tests/database -k "races or properties or restore" --long

chaos: setup ## a thousand payments while everything is killed and every vendor fails, then the long journeys (half an hour)
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m pytest tests/journeys -m long --long

containers: setup ## docker-compose.yml built, run, killed and searched without a Docker engine: as root, with Debian's podman and buildah (an hour)
	$(BIN)/python -m deploy.containers

docs: render ## the documents, with what is derived from the manifest
	$(BIN)/python -m pytest -q tests/fleet -k "documents or rendered"

clean: ## end the fleet; forget caches and its state, keep .venv and node_modules
	@test ! -x $(BIN)/pgp || $(BIN)/pgp down
	rm -rf .pgp .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -not -path './.venv/*' -not -path './node_modules/*' -prune -exec rm -rf {} +

lock: setup ## compile the hashed requirements anew
	$(COMPILE) --output-file=requirements.txt requirements.in
	$(COMPILE) --constraint=requirements.txt --output-file=requirements-dev.txt requirements-dev.in
	$(COMPILE) --no-header --output-file=deploy/local/node.txt deploy/local/node.in
	$(COMPILE) --no-header --output-file=deploy/containers/tools.txt deploy/containers/tools.in
	npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
