# The only developer interface. `make help` lists what there is.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOCS := .venv-docs
PY := $(BIN)/python
STATE ?= .demo/cluster
GPUS ?= 8
PYTEST_ARGS ?=
# Bytecode is kept: tests start our programs some hundred times.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help:  ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.ready  ## Make the virtual environment from the lock (hashes checked)

$(VENV)/.ready: pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setup: installing the locked packages into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: lock
lock: setup  ## Resolve the locks again (requirements/*.txt)
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --quiet -o requirements/runtime.txt
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --quiet -o requirements/dev.txt
	$(BIN)/uv pip compile --group docs --universal --generate-hashes --quiet -o requirements/docs.txt
	$(BIN)/uv pip compile --group kserve --universal --generate-hashes --quiet -o requirements/kserve.txt

.PHONY: prepare
prepare: setup  ## Build and fetch what cluster, demo and tests need, side by side (cached by version)
	@$(PY) -m tests.support.prepare

.PHONY: demo
demo: setup  ## From nothing to an answer of a real model (CLUSTER=current uses your kubeconfig's)
	@$(PY) -m tests.support.demo --cluster $(or $(CLUSTER),local) --state $(STATE)

.PHONY: cluster-up
cluster-up: prepare  ## Start the local cluster and leave it running
	@$(PY) -m tests.support.cluster up --dir $(STATE) --gpus $(GPUS)

.PHONY: cluster-down
cluster-down: setup  ## Stop the local cluster and all that the demo started
	@$(PY) -m tests.support.demo --down --state $(STATE)

.PHONY: cluster-doctor
cluster-doctor: setup  ## Say what this machine lacks to run pods, and what to do
	@$(PY) -m tests.support.cluster doctor

.PHONY: lint
lint: setup  ## Format and lint checks, strict types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: setup  ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: generate
generate: setup  ## Write the CRDs, the chart's values and other generated files
	@$(PY) -m llama_operator.api.crd --write
	@$(PY) -m llama_operator.api.reference --write
	@$(PY) -m llama_operator.catalog.compile --write
	@$(PY) -m llama_operator.chart.generate --write
	@$(PY) -m llama_operator.telemetry.dashboards --write
	@$(PY) -m tests.docs.cli_reference --write
	@$(PY) -m tests.docs.error_messages --write

.PHONY: verify
verify: setup  ## Fail when a generated file is not what `make generate` writes
	@$(PY) -m llama_operator.api.crd --check
	@$(PY) -m llama_operator.api.reference --check
	@$(PY) -m llama_operator.catalog.compile --check
	@$(PY) -m llama_operator.chart.generate --check
	@$(PY) -m llama_operator.telemetry.dashboards --check
	@$(PY) -m tests.docs.cli_reference --check
	@$(PY) -m tests.docs.error_messages --check

.PHONY: unit
unit: setup  ## Unit and property tests (seconds, no cluster)
	@$(BIN)/pytest tests/unit tests/property tests/packaging tests/snapshot tests/docs $(PYTEST_ARGS)

.PHONY: test
test: prepare  ## Everything CI runs: unit, property, CLI, integration on a real API server, end to end
	@$(PY) -m tests.support.suite $(PYTEST_ARGS)

.PHONY: test-full
test-full: prepare  ## All tests, the long ones too
	@$(BIN)/pytest $(PYTEST_ARGS)

.PHONY: chart
chart: setup  ## Check the Helm chart and pack it into dist/
	@$(PY) -m tests.support.chart dist

$(DOCS)/.ready: requirements/docs.txt
	@echo "docs: installing the locked packages into $(DOCS)"
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

.PHONY: docs
docs: $(DOCS)/.ready  ## Build the site of docs/ into dist/site; a link that leads nowhere fails
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet
	@$(DOCS)/bin/python -m tests.docs.built dist/site

.PHONY: docs-serve
docs-serve: $(DOCS)/.ready  ## Show the site on http://127.0.0.1:8000 while you write
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs serve --strict

.PHONY: panels
panels: prepare  ## Run every query of the dashboards on a real Prometheus, and show what comes back
	@$(BIN)/pytest tests/e2e/test_panels.py $(PYTEST_ARGS)

.PHONY: images
images: setup  ## Build both images into dist/ (BASE=, BUILDER=, TAG=; REGISTRY= PUSH=1 pushes them)
	@$(PY) -m tests.support.images --base "$(BASE)" --builder "$(BUILDER)" --registry "$(REGISTRY)" \
	  $(if $(TAG),--tag "$(TAG)") --push "$(PUSH)"

.PHONY: release
release: setup  ## Images for two architectures and the chart, signed and pushed (docs/release.md)
	@$(PY) -m images.release --version "$(VERSION)" --registry "$(REGISTRY)" --key "$(COSIGN_KEY)" \
	  --tlog "$(TLOG)" --pgp-key "$(PGP_KEY)" --pgp-url "$(PGP_URL)" \
	  --pgp-passphrase-file "$(PGP_PASSPHRASE_FILE)" --base "$(BASE)" --builder-id "$(BUILDER_ID)"

.PHONY: bench-planner
bench-planner: setup  ## Predicted against measured KV tokens, and the planner's speed
	@$(PY) -m tests.bench.planner

.PHONY: bench-weights
bench-weights: setup  ## Fetch and convert against loopback, disk, hash, `hf download` and cp
	@$(PY) -m tests.bench.weights $(BENCH_ARGS)

.PHONY: bench-operator
bench-operator: prepare  ## 100, 1,000 and 10,000 deployments on a real API server: speed, writes, memory
	@$(PY) -m tests.bench.operator $(BENCH_ARGS)

.PHONY: bench-guard
bench-guard: setup  ## What the API key guard costs: real vLLM with and without it, by turns
	@$(PY) -m tests.bench.guard $(BENCH_ARGS)

.PHONY: bench-cold-start
bench-cold-start: setup  ## A start with a compile cache and without; guard and warm-up against a plain engine
	@PYTHONUNBUFFERED=1 $(PY) -m tests.bench.cold_start $(BENCH_ARGS)

.PHONY: bench-pod-start
bench-pod-start: prepare  ## A server's start against a plain pod with the same engine, by turns on a node
	@PYTHONUNBUFFERED=1 $(PY) -m tests.bench.pod_start $(BENCH_ARGS)

.PHONY: bench-rollout
bench-rollout: prepare  ## Rollouts on full and free GPUs: strategy, servers that answer, way back
	@$(PY) -m tests.bench.rollout $(BENCH_ARGS)

.PHONY: bench-scale-from-zero
bench-scale-from-zero: prepare  ## 100 requests to no replica: each answered once, and how soon
	@$(PY) -m tests.bench.scale_from_zero $(BENCH_ARGS)

.PHONY: clean
clean: cluster-down  ## Remove the virtual environment and local state (the cache stays)
	@rm -rf $(VENV) $(DOCS) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find operator cli tests -name __pycache__ -prune -exec rm -rf {} +
