# The single entry for people, pre-commit and CI. `make help` lists the targets.

PYTHON  ?= python3
EXTRAS  ?= service,cpu,embedded,training,text,towers,pretrained,export,images,audio,tensorboard,mlflow,oidc,otel,map
DATA    ?=
BUNDLE  ?= build/demo/world/bundle
STATE   ?= data
HOST    ?= 127.0.0.1
PORT    ?= 8000
ARGS    ?=
# Processes that share the tests, a file at a time; WORKERS=0 runs them in one, as a debugger wants.
# Twice as many as there are processors: a test that waits for a service takes none.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) \* 2)

VENV    := .venv
BIN     := $(VENV)/bin
SERVICE_VENV := .venv-service
GPU_VENV := .venv-gpu
# The programs that test the alerts: where `make prometheus` puts them, and Debian's packages.
PROMETHEUS := $(CURDIR)/build/prometheus/usr/bin
DEBIAN  := prometheus promtool
CHROMIUM := apt-get install --quiet --yes --no-install-recommends chromium fonts-noto-cjk fonts-noto-color-emoji
# What the service takes besides its twin for the CPU or the GPU.
SERVED  := service,embedded,text-tower,images,audio,oidc,otel,milvus

# What is edited, or the last commit where nothing is: `make check` looks at the types of these
# files, and runs the tests that are named like their folder.
CHANGED  = $(shell git diff --name-only $$(git diff --quiet HEAD && echo HEAD~1 || echo HEAD) 2>/dev/null; \
                   git ls-files --others --exclude-standard)
EDITED   = $(wildcard $(filter %.py,$(CHANGED)))
FEATURES = $(sort $(foreach path,$(filter service/features/%,$(CHANGED)),$(word 3,$(subst /, ,$(path)))))
PARTS    = $(sort $(foreach path,$(filter training/%,$(CHANGED)),$(word 2,$(subst /, ,$(path)))) \
                  $(foreach path,$(filter model_export/contract/%,$(CHANGED)),$(word 3,$(subst /, ,$(path)))))
TOUCHED  = $(sort $(foreach path,$(EDITED),$(if $(findstring /test_,$(path)),$(path))) \
                  $(wildcard $(foreach name,$(FEATURES),tests/api/test_$(name)*.py)) \
                  $(wildcard $(foreach name,$(PARTS:.py=),tests/unit/*/test_$(name)*.py tests/unit/*/$(name))))
SHARED  := --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile
# Making its cases takes a quarter of a minute in each process that shares the tests, so it has one.
SCHEMA  := tests/properties/test_schemathesis.py

comma   := ,
LOCK     = $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --only-binary :all: --python-version 3.11 \
           --python-platform x86_64-manylinux_2_28 --no-emit-index-url --no-annotate --no-header

# A lock has no graph of who needs whom, which is what the tool would warn of; it checks what it writes.
SBOM     = $(BIN)/python -W ignore::UserWarning -m cyclonedx_py requirements --pyproject pyproject.toml \
           --mc-type application --output-reproducible

.DEFAULT_GOAL := help
.PHONY: help install console browser pictures demo serve check test test-shared test-schema coverage test-service test-milvus test-gpu lint format typecheck arch alerts prometheus wheel sbom docs bench soak lock image-lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PYTHON=$(PYTHON) PORT=$(PORT) DATA=<data set folder> BUNDLE=$(BUNDLE)"
	@echo "             STATE=$(STATE) ARGS=<more arguments for pytest, demo or serve>"

install: $(VENV)/.installed console ## Create .venv with everything that runs on a CPU (once)

$(VENV)/.installed: PACKAGES = ".[$(EXTRAS)]" --group dev
$(SERVICE_VENV)/.installed: PACKAGES = ".[cpu,map,$(SERVED)]" --group test
$(GPU_VENV)/.installed: PACKAGES = ".[$(subst cpu,gpu,$(EXTRAS))]" --group test

# A new environment, or the one that is there; groups (`--group`) need pip >= 25.1.
%/.installed: pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(None if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed, this is ' + sys.version.split()[0] + '; say which: make PYTHON=/path/to/python3.12')"
	@test -x $*/bin/python || $(PYTHON) -m venv $*
	@echo "Installing into $*, which takes minutes the first time"
	@$*/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	@$*/bin/python -m pip install --quiet --editable $(PACKAGES)
	@touch $@

console: $(VENV)/.installed ## Build the web console's page, when its sources changed; Node.js comes with .venv
	@$(BIN)/python hatch_build.py

browser: ## Install Debian's Chromium, in which the console is tested, unless it is there
	@command -v chromium >/dev/null || { \
	  set -e; $(CHROMIUM) || { apt-get update --quiet && $(CHROMIUM); }; \
	} || { echo "install Chromium, so that chromium is found (apt-get needs root)" >&2; exit 1; }

pictures: install console browser ## Take the pictures of the console that docs/console.md shows
	PICTURES=docs/pictures $(BIN)/python -m pytest tests/console/test_pictures.py -q $(ARGS)

demo: install ## Train, export, serve, load and ask; DATA=folder for real data, Ctrl-C ends it
	@$(BIN)/python -m demo --port $(PORT) $(if $(DATA),--data $(DATA)) $(ARGS)

serve: install ## Serve BUNDLE with its state in STATE
	$(BIN)/python -m service serve --bundle $(BUNDLE) --data-dir $(STATE) --host $(HOST) --port $(PORT) $(ARGS)

check: lint arch ## Check an edit in a minute: style, layers, its files' types, its feature's tests
	$(if $(EDITED),$(BIN)/pyright $(EDITED))
	$(if $(TOUCHED),$(BIN)/python -m pytest -m "not gpu and not milvus and not browser" $(SHARED) $(TOUCHED) $(ARGS))

test: lint arch alerts browser ## Check everything that needs no GPU and no Docker
	@$(MAKE) --no-print-directory --jobs 3 typecheck test-shared $(if $(ARGS),,test-schema)

test-shared: install
	$(BIN)/python -m pytest -m "not gpu and not milvus" $(SHARED) --ignore $(SCHEMA) --durations 15 $(ARGS)

test-schema: install
	$(BIN)/python -m pytest -p no:cacheprovider $(SCHEMA)

coverage: install ## Line coverage of the service by the tests over HTTP alone
	@rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/python -m coverage run -m pytest -q -m "not gpu and not milvus" $(SHARED) tests/api tests/stories $(ARGS)
	@$(BIN)/python -m coverage combine --quiet && $(BIN)/python -m coverage report --sort=cover --skip-covered

test-service: $(SERVICE_VENV)/.installed ## Test the service in an environment without torch
	@$(SERVICE_VENV)/bin/python -c "import importlib.util as u, sys; sys.exit('torch is installed' if u.find_spec('torch') else 0)"
	$(SERVICE_VENV)/bin/python -m pytest -m "not gpu and not milvus" $(SHARED) tests/api $(ARGS)

test-milvus: install ## Test the index in Milvus; a server comes as a package, and runs in a network namespace
	$(BIN)/python -m pytest -m milvus $(ARGS)

test-gpu: $(GPU_VENV)/.installed ## Test what needs an NVIDIA GPU
	$(GPU_VENV)/bin/python -m pytest -m gpu $(ARGS)

lint: install ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/python hatch_build.py lint

format: install ## Apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@$(BIN)/python hatch_build.py format

typecheck: install ## Check types: strict for what is served, standard elsewhere
	$(BIN)/pyright
	@$(BIN)/python hatch_build.py typecheck

arch: install ## Check who imports whom
	$(BIN)/lint-imports --no-logo

alerts: prometheus ## Check and test the alert rules
	@PATH="$(PROMETHEUS):$$PATH" && cd deploy/prometheus && \
	promtool check config prometheus.yml && promtool test rules alerts.test.yml

prometheus: ## Unpack Debian's Prometheus in build/, unless it is there; installs and starts nothing
	@PATH="$(PROMETHEUS):$$PATH"; command -v prometheus >/dev/null && command -v promtool >/dev/null || { \
	  mkdir -p build/prometheus && cd build/prometheus && \
	  { apt-get download --quiet $(DEBIAN) || { apt-get update --quiet && apt-get download --quiet $(DEBIAN); }; } && \
	  for package in *.deb; do dpkg-deb --extract $$package . && rm $$package; done; \
	} || { echo "install Prometheus, so that prometheus and promtool are found" >&2; exit 1; }

wheel: install ## Build the wheel in dist/; the same sources give the same bytes
	$(BIN)/hatchling build -t wheel

sbom: install ## List what the images install, with hashes, as CycloneDX in build/sbom/
	@mkdir -p build/sbom
	@for target in cpu gpu; do \
	  echo "build/sbom/$$target.cdx.json" && $(SBOM) image/$$target.txt -o build/sbom/$$target.cdx.json || exit 1; \
	done

docs: $(VENV)/.installed-docs ## Build the documentation site in build/site; broken links fail
	@$(BIN)/python docs/generate_configuration.py
	@$(BIN)/python docs/generate_openapi.py
	$(BIN)/zensical build --strict --clean

$(VENV)/.installed-docs: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --group docs
	@touch $@

bench: install ## Measure the service at 10,000 streamers
	$(BIN)/python -m tests.benchmarks $(ARGS)

soak: install ## Kill the service and its store 200 times under writes (ARGS="--rounds 1000" for more)
	@$(BIN)/python -m tests.faults.soak $(ARGS)

lock: install ## Lock the newest packages of the images in image/, with hashes, for Linux x86-64
	@for target in cpu gpu; do \
	  echo "image/$$target.txt" && $(LOCK) --extra $$target $(patsubst %,--extra %,$(subst $(comma), ,$(SERVED))) pyproject.toml -o image/$$target.txt || exit 1; \
	done
	@echo "image/build.txt" && $(LOCK) --group build -o image/build.txt

image-lock: ## Pin the digests of the images that others make (needs docker and its registry)
	@pin() { \
	  image=$$1 && shift && \
	  digest=$$(docker buildx imagetools inspect "$$image" --format '{{json .Manifest.Digest}}' | grep -oE 'sha256:[0-9a-f]{64}') && \
	  sed -i.unpinned -E "s#$$image(@sha256:[0-9a-f]+)?#$$image@$$digest#" "$$@" && \
	  for file in "$$@"; do rm "$$file.unpinned" && echo "$$file: $$image@$$digest"; done; \
	}; scale=deploy/kubernetes/scale; \
	pin python:3.11-slim Dockerfile && \
	pin valkey/valkey:9.1 docker-compose.yml deploy/compose.scale.yaml $$scale/valkey.yaml $$scale/sentinel.yaml && \
	pin milvusdb/milvus:v2.3.5 deploy/compose.scale.yaml $$scale/milvus.yaml

# Stores of people are not in build, but for those that earlier releases put there.
clean: ## Remove build (with the demo's store and model), dist, caches and the environments
	@for store in build/*/store; do \
	  test ! -d "$$store" || { echo "$${store%/store} is a store: move it out of build, or remove it" >&2; exit 1; }; \
	done
	rm -rf build dist $(VENV) $(SERVICE_VENV) $(GPU_VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis
