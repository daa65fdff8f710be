# Berth: `make demo` shows it, `make test` proves it. Both set up all they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON3 ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.locked
ARGS ?=
HOSTS ?= 1
CLOUD ?= local
STAGE ?= dev
QUICK := tests/unit tests/contract tests/app tests/machines tests/security tests/placement
WHOLE := tests/faults tests/local tests/docker tests/limits tests/escape tests/flow tests/chaos tests/figures tests/deploy tests/localstack
APART := tests/fleet
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## What can be done here
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Python environment, Docker engine and base image, whatever is missing
	@$(PY) -m infra.ground prepare

$(STAMP): requirements-dev.txt
	@echo "==> making the Python environment in $(VENV) (about half a minute the first time)"
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Berth needs Python 3.11 or newer: set PYTHON3=/path/to/python3.11"; exit 1; }
	@$(PYTHON3) -m venv $(VENV) || { echo "python3 -m venv failed: install your distribution's python3-venv"; exit 1; }
	@for try in 1 2 3; do \
		$(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt && break; \
		[ $$try -lt 3 ] || exit 1; echo "    the package index did not answer well; trying again"; sleep 5; \
	done
	@touch $@

demo: setup ## One container from POST to gone, on a real engine, before your eyes
	@$(PY) -m infra.local demo $(ARGS)

up: setup ## Keep the local cloud running (HOSTS=2 ARGS="--port 8080"), or CLOUD=localstack
	@$(PY) -m infra.$(CLOUD) up $(if $(filter local,$(CLOUD)),--hosts $(HOSTS)) $(ARGS)

shell: $(STAMP) ## A terminal in a container of the running `make up` (NAME=web, with BERTH_TOKEN set)
	@$(PY) -m infra.local shell $(NAME) $(ARGS)

audit: $(STAMP) ## Compare all that the running `make up` has recorded with what runs (ARGS=--repair)
	@$(PY) -m infra.local audit $(ARGS)

chaos: setup ## The kill matrix on the real local stack, about half an hour (ARGS="--targets agent --loads creates")
	@$(PY) -m tests.chaos.matrix $(ARGS)

faults: setup ## Every published figure, some twenty minutes, into docs/reliability.md (ARGS=--quick)
	@$(PY) -m tests.figures $(if $(ARGS),$(ARGS),--page docs/reliability.md)

test: setup ## Every suite (one of them, or a file: ARGS=tests/flow)
ifneq ($(strip $(ARGS)),)
	@$(PY) -m pytest $(ARGS)
else
	@echo "==> suites that need no engine, on two processors"
	@$(PY) -m pytest -n 2 --dist loadfile $(QUICK); quick=$$?; \
	echo "==> suites that need engines, processors or time to themselves"; \
	$(PY) -m pytest $(WHOLE) && exit $$quick
endif

unit: $(STAMP) ## The fast suites alone, no engine needed
	@$(PY) -m pytest tests/unit tests/contract tests/app $(ARGS)

machines: $(STAMP) ## The models with other examples than every run's (SEED=1, PROFILE=nightly)
	@HYPOTHESIS_PROFILE=$(or $(PROFILE),random) $(PY) -m pytest tests/machines tests/security \
		$(if $(SEED),--hypothesis-seed=$(SEED)) $(ARGS)

escape: setup ## Hostile programs against every wall, inside containers of a real agent: a table of what held
	@$(PY) -m pytest -q tests/limits tests/escape $(ARGS)

placement: $(STAMP) ## A million containers on 10,000 hosts, simulated: table and plot of docs/placement.md
	@$(PY) -m tests.placement

simulate: $(STAMP) ## Seeds of bad weather over all shipped code (SEEDS=2000), or one step by step (SEED=7)
	@SEEDS=$(SEEDS) SEED=$(SEED) $(PY) -m tests.faults simulate

crashpoints: $(STAMP) ## Every call of every flow with every fault
	@$(PY) -m tests.faults crashpoints

ablate: $(STAMP) ## Each mechanism taken away in turn: the suite must notice
	@$(PY) -m tests.faults ablate

bench: setup ## Benchmarks beside the raw engine, written to docs/benchmarks.md (ARGS="--parts starts,rates --rounds 25")
	@$(PY) -m tests.bench $(ARGS)

check: $(STAMP) ## The one gate: format, lint, types, import rules, API documents, packages
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) -m infra.apidocs --check
	@$(PY) -m infra.images --check
	@$(PY) -m infra.supply

capacity: $(STAMP) ## Write docs/capacity.md from the counts
	@$(PY) -m infra.aws.capacity

apidocs: $(STAMP) ## Write the published API documents from the code
	@$(PY) -m infra.apidocs

test-localstack: setup ## The store, queue and flow suites on LocalStack, the functions running as its Lambdas
	@RACES=1 $(PY) -m pytest -s tests/localstack $(ARGS)

test-fleet: $(STAMP) ## Hosts and relays from their launch templates on, on emulated machines: a quarter of an hour
	@$(PY) -m pytest -s --timeout 1800 $(APART) --ignore tests/fleet/test_walls.py $(ARGS)

escape-fleet: $(STAMP) ## `make escape` on an emulated host of the fleet: an hour (PROBES="metadata or private")
	@PROBES="$(PROBES)" $(PY) -m pytest -s -q tests/fleet/test_walls.py $(ARGS)

images: $(STAMP) ## Write docs/images from the recipes
	@$(PY) -m infra.images

deploy: $(STAMP) ## Deploy or update a stage on AWS and look at it (STAGE=dev)
	@$(PY) -m infra.aws.deploy up --stage $(STAGE) $(ARGS)

destroy: $(STAMP) ## Delete a stage with all its data (STAGE=dev CONFIRM=dev)
	@$(PY) -m infra.aws.deploy down --stage $(STAGE) --confirm "$(CONFIRM)"

package: $(STAMP) ## One CloudFormation template of everything, in .berth/package (STAGE=dev)
	@$(PY) -m infra.aws.package --stage $(STAGE) --out .berth/package/$(STAGE)

LOCK := uv pip compile --generate-hashes --python-version 3.11 --exclude-newer "7 days" --no-emit-index-url \
	--no-emit-find-links --no-header --quiet

lock: ## Lock requirements again, with hashes (needs uv)
	@$(LOCK) requirements-dev.in -o requirements-dev.txt
	@$(LOCK) requirements.in --constraints requirements-dev.txt -o requirements.txt
	@$(LOCK) infra/hostagent/requirements.in --constraints requirements-dev.txt -o infra/hostagent/requirements.txt
	@$(LOCK) infra/relay/requirements.in --constraints requirements-dev.txt -o infra/relay/requirements.txt
	@$(LOCK) infra/localstack/requirements.in -o infra/localstack/requirements.txt
	@$(LOCK) tests/deploy/requirements-audit.in -o tests/deploy/requirements-audit.txt

clean: ## Stop a private engine left over and remove what set-up and runs have made
	@if [ -x $(PY) ]; then $(PY) -m infra.ground clean; fi
	@rm -rf $(VENV) .berth .pytest_cache .mypy_cache .ruff_cache .hypothesis
