# Everything here sets up what it needs by itself; a second call is fast.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AIRFLOW_VENV := .venv-airflow
AIRFLOW_READY := $(AIRFLOW_VENV)/.ready
DATA ?=
DEMO_FLAGS ?=
UP_FLAGS ?=
COMPOSE_BUILD := GIT_COMMIT="$$(git rev-parse HEAD 2>/dev/null)" docker compose
# Each process starts a Kafka, a PostgreSQL and an MLflow of its own.
TEST_PROCESSES ?= 2
MINUTES ?= 30

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status env certs images compose-up compose-down test history test-airflow test-compose bench lint format docs pictures lock clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with everything pinned in requirements.lock, and the faultline command

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(f"Python 3.11 or later is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ..." if v < (3, 11) else 0)'
	@echo "Installing into $(VENV), once; without uv this takes a minute or two ..."
	@if command -v uv >/dev/null; then \
	  { test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV); } && \
	  uv pip sync --quiet --python $(BIN)/python requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --editable .; \
	else \
	  { test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV); } && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .; \
	fi
	@touch $@

demo: setup ## See all of it work on this machine's own sensors and a simulated plant (DATA=DIR: on your CSV files)
	@$(BIN)/faultline demo $(if $(DATA),--data "$(DATA)") $(DEMO_FLAGS)

up: setup ## Start Kafka, PostgreSQL, MLflow and the services, and stay
	@$(BIN)/faultline up $(UP_FLAGS)

down: setup ## Stop what `make up` started
	@$(BIN)/faultline down

status: setup ## Say how every component is
	@$(BIN)/faultline status

env: ## Write .env for the containers, with generated passwords, or add those that it lacks
	@$(PYTHON) deploy/write_env.py .env.example .env

certs: ## Write a self-signed certificate into ./tls, for trying TLS (NAMES="host.example ...")
	@sh deploy/tls/self-signed.sh tls $(NAMES)

images: ## Build the containers' images, also those of the profiles
	@$(COMPOSE_BUILD) --profile '*' build

compose-up: ## Build and start everything in containers, and return when all are healthy
	@$(PYTHON) deploy/scripts/ports.py
	@$(COMPOSE_BUILD) build
	@docker compose up --detach --wait

compose-down: ## Stop the containers of all profiles; their volumes stay
	@docker compose --profile '*' down

test: setup ## Run the unit, contract, integration (real Kafka, PostgreSQL, MLflow) and container tests
	@$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

history: setup ## Kill, freeze and cut off its parts for MINUTES, then look for what is lost (SEED=N: the same again)
	@FAULTLINE_HISTORY_MINUTES=$(MINUTES) $(if $(SEED),FAULTLINE_HISTORY_SEED=$(SEED)) \
	  $(BIN)/pytest tests/history -s

test-airflow: setup $(AIRFLOW_READY) ## Run the DAGs in Airflow's own environment, against a stack on this machine
	@$(AIRFLOW_VENV)/bin/pytest airflow/tests

$(AIRFLOW_READY): airflow/requirements.lock | $(READY)
	@echo "Installing Airflow into $(AIRFLOW_VENV), once ..."
	@test -x $(AIRFLOW_VENV)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(AIRFLOW_VENV)
	@$(BIN)/uv pip sync --quiet --python $(AIRFLOW_VENV)/bin/python airflow/requirements.lock
	@touch $@

test-compose: setup ## Run only the tests of the containers; needs a Docker engine
	@$(BIN)/pytest -m compose

bench: setup ## Measure the detector on real faults, and its speed, beside its peers (bench/README.md)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock --editable '.[peers]'
	@$(BIN)/python bench/skab.py --ablation
	@$(BIN)/python bench/rig.py
	@$(BIN)/python bench/fit_speed.py
	@$(BIN)/python bench/score_speed.py
	@$(BIN)/python bench/predict_speed.py
	@$(BIN)/python -m bench.predict_speed
	@$(BIN)/python -m bench.reload
	@$(BIN)/python -m bench.gateway_speed

lint: setup ## Check style, types and the map's import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup ## Format the code and sort the imports
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

docs: setup ## Write the reference pages from the code
	@$(BIN)/python docs/reference.py

pictures: setup ## Draw the pictures of docs/detector.md
	@$(BIN)/python docs/pictures.py

lock: setup ## Resolve the dependencies anew into requirements.lock, and Airflow's and MLflow's into theirs
	@$(BIN)/uv pip compile --quiet --upgrade --universal --extra dev --generate-hashes \
	  --no-header --no-annotate --output-file requirements.lock pyproject.toml
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --output-file airflow/requirements.lock airflow/requirements-dev.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" mlflow/lock.sh

clean: ## Stop the stack and remove its state, the virtual environment and the caches
	@if test -x $(BIN)/faultline; then $(BIN)/faultline down; fi
	rm -rf $(VENV) $(AIRFLOW_VENV) .faultline .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-report.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
