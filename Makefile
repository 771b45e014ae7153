# `make` prints what there is. Every target that needs the environment makes it first.
.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# AWS's sagemaker-training, over what .venv has: its trials see our torch, its own pins stay apart.
TOOLKIT := .venv-toolkit
# AWS's smdebug, likewise: its old NumPy and protobuf go before ours there, and nowhere else.
SMDEBUG := .venv-smdebug
# The servers that ours is compared with, likewise.
PEERS := .venv-peers
# The SageMaker SDK, version 2, alone: a client of endpoints, which shares nothing with ours.
SDK2 := .venv-sdk2
# Any Python that answers; the first one of a fitting version is taken.
PYTHON ?=
PYTHONS := $(PYTHON) python3 python3.13 python3.12 python3.11
# What `make lint` and `make format` look at, as far as it exists.
CODE := $(wildcard src launchers tests benchmarks *.py)
TYPED := $(wildcard src/sweepmaker launchers)
# Two test processes with one thread each: more threads than cores slow torch down many times over.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup
ARGS ?=

# Compiled modules start in less than half the time, so the environment may not forbid writing them.
unexport PYTHONDONTWRITEBYTECODE
# Another environment that happens to be active must not be taken for ours.
unexport VIRTUAL_ENV

.PHONY: help setup toolkit smdebug sdk2 peers rules train test slow accept lint format types lock benchmarks clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## make .venv with everything for development

# A Python that was removed or changed under the environment leaves a dangling link: made anew.
$(BIN)/python:
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	    echo "making $(VENV) with $$($$python --version)"; \
	    $$python -m venv --clear $(VENV) && exit 0; \
	    echo "$$python cannot make an environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    rm -rf $(VENV); exit 1; \
	  fi; \
	done; \
	echo "Python 3.11, 3.12 or 3.13 is needed and none was found (looked for: $(PYTHONS))." >&2; \
	echo "Name one: make setup PYTHON=/path/to/python3.11" >&2; exit 1

# pip checks hashes only of what a requirements file holds, so uv's own entry is cut out of the lock.
$(BIN)/uv: | $(BIN)/python
	@awk '/^uv==/ { found = 1 } found { print } found && !/\\$$/ { exit }' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip > /dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock

$(STAMP): pyproject.toml requirements.lock | $(BIN)/uv
	$(BIN)/uv pip sync --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q src
	@touch $@

toolkit: $(TOOLKIT)/.installed ## make .venv-toolkit: AWS's way to start a training script, for the slow tests

# Part of it exists as C source only; what builds it is held to the lock's hashes too.
$(TOOLKIT)/.installed: requirements-toolkit.lock $(STAMP)
	@command -v cc > /dev/null || { echo "a C compiler is needed: apt-get install gcc libc6-dev python3-dev" >&2; exit 1; }
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(TOOLKIT)
	$(BIN)/uv pip sync --python $(TOOLKIT)/bin/python --require-hashes --compile-bytecode \
	  --build-constraints requirements-toolkit.lock requirements-toolkit.lock
	@below='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	  $(BIN)/python -c "$$below" > "$$($(TOOLKIT)/bin/python -c "$$below")/over_main.pth"
	@touch $@

smdebug: $(SMDEBUG)/.installed ## make .venv-smdebug: AWS's old smdebug, for debugger.smdebug=true and its tests

# One of its dependencies exists as C source only, built with the newest build tools: they are not kept.
$(SMDEBUG)/.installed: requirements-smdebug.lock $(STAMP)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || { \
	  echo "smdebug needs Python 3.11 or 3.12: make clean; make smdebug PYTHON=python3.11" >&2; exit 1; }
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(SMDEBUG)
	$(BIN)/uv pip sync --python $(SMDEBUG)/bin/python --require-hashes --compile-bytecode \
	  --build-constraints requirements-smdebug.lock requirements-smdebug.lock
	@below='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	  $(BIN)/python -c "$$below" > "$$($(SMDEBUG)/bin/python -c "$$below")/over_main.pth"
	@touch $@

peers: $(PEERS)/.installed ## make .venv-peers: TorchServe and LitServe, for benchmarks/serving.py

$(PEERS)/.installed: benchmarks/serving_peers.lock $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PEERS)
	$(BIN)/uv pip sync --python $(PEERS)/bin/python --require-hashes --compile-bytecode \
	  --build-constraints benchmarks/serving_peers.lock benchmarks/serving_peers.lock
	@below='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	  $(BIN)/python -c "$$below" > "$$($(PEERS)/bin/python -c "$$below")/over_main.pth"
	@touch $@

sdk2: $(SDK2)/.installed ## make .venv-sdk2: the SageMaker SDK, version 2, a client of endpoints for the slow tests

$(SDK2)/.installed: requirements-sdk2.lock $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(SDK2)
	$(BIN)/uv pip sync --python $(SDK2)/bin/python --require-hashes --compile-bytecode requirements-sdk2.lock
	@touch $@

rules: $(STAMP) ## write docs/rules/ anew, from the rules' docstrings and presets
	$(BIN)/python docs/rules/write.py

train: $(STAMP) ## fine-tune EfficientNet-B2 on data that needs no download (more: ARGS="epochs=3 lr=1e-3")
	$(BIN)/python train.py +experiment=b2 $(ARGS)

test: lint types ## lint, types and the quick tests
	$(PYTEST) -m "not slow and not accept" $(ARGS)

slow: $(STAMP) ## the slow tests: whole runs, kills, resumes
	$(PYTEST) -m "slow and not accept" $(ARGS)

accept: $(STAMP) ## the acceptance runs: minutes to hours, figures of the README
	$(BIN)/python -m pytest -m accept $(ARGS)

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

format: $(STAMP) ## ruff: format and mend what can be mended
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy $(TYPED)

lock: $(STAMP) ## the locks, from pyproject.toml and requirements-*.in (ARGS=--upgrade for newer versions)
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-header --python-version 3.11 \
	  --extra dev --extra aws --extra embedded --extra compare --extra mlflow --extra openvino \
	  --output-file requirements.lock --quiet $(ARGS)
	$(BIN)/uv pip compile requirements-toolkit.in --universal --generate-hashes --no-header --python-version 3.11 \
	  --constraint requirements.lock --output-file requirements-toolkit.lock --quiet $(ARGS)
	$(BIN)/uv pip compile requirements-smdebug.in --universal --generate-hashes --no-header --python-version 3.11 \
	  --output-file requirements-smdebug.lock --quiet $(ARGS)
	$(BIN)/uv pip compile benchmarks/serving_peers.in --universal --generate-hashes --no-header --python-version 3.11 \
	  --constraint requirements.lock --output-file benchmarks/serving_peers.lock --quiet $(ARGS)
	$(BIN)/uv pip compile requirements-sdk2.in --universal --generate-hashes --no-header --python-version 3.11 \
	  --output-file requirements-sdk2.lock --quiet $(ARGS)

benchmarks: $(STAMP) $(PEERS)/.installed ## every benchmark, each with its ratio against a named peer
	@for benchmark in train_throughput image_pipeline startup launch_latency trial_overhead search lightning_overhead \
	  sweep compare profiler_overhead debugger_overhead engines serving; do \
	  echo "== $$benchmark"; $(BIN)/python benchmarks/$$benchmark.py $(ARGS) || exit 1; done

clean: ## remove the environments and the caches (runs stay)
	rm -rf $(VENV) $(TOOLKIT) $(SMDEBUG) $(SDK2) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
