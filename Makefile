# torch-ablations. `make` lists the targets; the first one that needs it makes .venv.
#
#   make ablations STUDY=activation PROFILE=quick    one study, a smoke test
#   make VENV= PYTHON=python3 test                   an interpreter that has the packages

STUDY   ?= core
PROFILE ?= standard
DEVICE  ?= auto
WORKERS ?=
BUDGET  ?=
RESULTS ?=

VENV        ?= .venv
BASE_PYTHON ?= python3
PYTHON      ?= $(VENV)/bin/python
READY       := $(if $(VENV),$(VENV)/.ready)

SHARED  := --profile '$(PROFILE)' --device '$(DEVICE)' $(if $(RESULTS),--results '$(RESULTS)')
STUDIES := --study '$(STUDY)' $(SHARED)
RUN     := $(STUDIES) $(if $(WORKERS),--workers '$(WORKERS)')
ASK     := $(if $(POWER),--power) $(if $(EFFECT),--effect '$(EFFECT)') \
           $(if $(DEVIATION),--deviation '$(DEVIATION)') $(if $(PILOT),--pilot '$(PILOT)')

.DEFAULT_GOAL := help
.PHONY: help ablations report plan bench test check clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo "  variables: STUDY=$(STUDY) PROFILE=$(PROFILE) DEVICE=$(DEVICE) WORKERS BUDGET RESULTS"

ablations: $(READY) ## train what is missing, then time the workloads
	$(PYTHON) -m ablations run $(RUN) $(if $(BUDGET),--budget '$(BUDGET)')
	$(PYTHON) -m benchmarks $(STUDIES)

report: $(READY) ## write the report from the results
	$(PYTHON) -m report $(SHARED)

plan: $(READY) ## what would run, how long it will take; POWER=1: what the seeds can resolve
	@$(PYTHON) -m ablations plan $(RUN) $(ASK)

bench: $(READY) ## the pytest-benchmark suites
	$(PYTHON) -m pytest benchmarks --benchmark-columns=min,median,iqr,rounds,iterations

test: $(READY) ## the tests
	$(PYTHON) -m pytest tests

check: $(READY) ## format, lint and types
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

clean: ## remove what was built; results and data stay
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find ablations benchmarks report tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready $(filter-out .venv/.ready,$(READY)): pyproject.toml constraints.txt
	$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name one: make BASE_PYTHON=python3.12")'
	$(BASE_PYTHON) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --constraint constraints.txt --editable '.[develop]'
	@touch $@
