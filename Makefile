# The single entry for people, pre-commit and CI. `make help` lists the targets.

PYTHON  ?= python3
EXTRAS  ?= service,cpu,embedded,training,text,towers,pretrained,export,images,audio
DATA    ?=
BUNDLE  ?= build/demo/world/bundle
STATE   ?= build/serve
HOST    ?= 127.0.0.1
PORT    ?= 8000
ARGS    ?=
# Processes that share the tests, a file at a time; WORKERS=0 runs them in one, as a debugger wants.
WORKERS ?= auto

VENV    := .venv
BIN     := $(VENV)/bin
SERVICE_VENV := .venv-service

SHARED  := --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-service lint format typecheck arch docs bench soak clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PYTHON=$(PYTHON) PORT=$(PORT) DATA=<data set folder> BUNDLE=$(BUNDLE)"
	@echo "             STATE=$(STATE) ARGS=<more arguments for pytest, demo or serve>"

install: $(VENV)/.installed ## Create .venv with everything that runs on a CPU (once)

$(VENV)/.installed: pyproject.toml
	@$(call make_venv,$(VENV))
	@echo "Installing into $(VENV), which takes minutes the first time"
	@$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]" --group dev
	@touch $@

$(SERVICE_VENV)/.installed: pyproject.toml
	@$(call make_venv,$(SERVICE_VENV))
	@echo "Installing the service alone into $(SERVICE_VENV)"
	@$(SERVICE_VENV)/bin/python -m pip install --quiet --editable ".[service,cpu,embedded,text-tower,images,audio]" --group test
	@touch $@

demo: install ## Train, export, serve, load and ask; DATA=folder for real data, Ctrl-C ends it
	@$(BIN)/python -m demo --port $(PORT) $(if $(DATA),--data $(DATA)) $(ARGS)

serve: install ## Serve BUNDLE with its state in STATE
	$(BIN)/python -m service serve --bundle $(BUNDLE) --data-dir $(STATE) --host $(HOST) --port $(PORT) $(ARGS)

test: lint arch typecheck ## Check everything that needs no GPU and no Docker
	$(BIN)/python -m pytest -m "not gpu" $(SHARED) $(ARGS)

test-service: $(SERVICE_VENV)/.installed ## Test the service in an environment without torch
	@$(SERVICE_VENV)/bin/python -c "import importlib.util as u, sys; sys.exit('torch is installed' if u.find_spec('torch') else 0)"
	$(SERVICE_VENV)/bin/python -m pytest -m "not gpu" $(SHARED) tests/contract tests/service $(ARGS)

lint: install ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install ## Apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: install ## Check types: strict for what is served, standard elsewhere
	$(BIN)/pyright

arch: install ## Check who imports whom
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/.installed-docs ## Build the documentation site in build/site; broken links fail
	@$(BIN)/python docs/generate_configuration.py
	$(BIN)/zensical build --strict --clean

$(VENV)/.installed-docs: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --group docs
	@touch $@

bench: install ## Measure the service at 10,000 streamers
	$(BIN)/python -m tests.benchmarks $(ARGS)

soak: install ## Kill the service and its store 200 times under writes (ARGS="--rounds 1000" for more)
	@$(BIN)/python -m tests.reliability.soak $(ARGS)

clean: ## Remove what was built, the environments included
	rm -rf build dist $(VENV) $(SERVICE_VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# A new environment, or the one that is there; groups (`--group`) need pip >= 25.1.
define make_venv
$(PYTHON) -c "import sys; sys.exit(None if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed, this is ' + sys.version.split()[0] + '; say which: make PYTHON=/path/to/python3.12')" && \
{ test -x $(1)/bin/python || $(PYTHON) -m venv $(1); } && \
$(1)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
endef
