# Needs Python 3.11 and gcc; everything else is installed into .venv from constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
TORCH := $(shell grep '^torch==' constraints.txt)
VLLM_VENV ?= .venv-vllm
IMAGE ?= bettertogether-python:0.1.0
# More arguments for a target: make run ARGS="--task iris", make test ARGS="-m 'not slow'".
ARGS ?=
# Two tests at a time, each file in one process, so that its tests share what they set up (ARGS="-n 0": one at a time).
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help venv run test test-vllm lint format docs chaos fuzz bench mlflow images images-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## make .venv and install the pinned dependencies

run: $(STAMP) ## optimise the example program with p -> w -> p, on this machine (ARGS="--task iris" for another)
	@$(BIN)/bt run $(ARGS)

mlflow: $(STAMP) ## serve the MLflow UI on the runs of this folder
	@$(BIN)/bt mlflow $(ARGS)

test: lint ## every check: style, types, architecture, tests with coverage
	@$(BIN)/python -m pytest --cov $(WORKERS) $(ARGS)

test-vllm: ## the vLLM engines on vLLM's CPU build, in an environment of its own (.venv-vllm)
	@tests/vllm/run $(PYTHON) $(VLLM_VENV) $(ARGS)

lint: $(STAMP) ## style, types and architecture alone
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo

format: $(STAMP) ## fix the style
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format .

docs: $(STAMP) ## write the generated docs again
	@for tool in docs/tools/*_docs.py; do $(BIN)/python $$tool || exit 1; done

images: ## build the container images with Docker (docs/images.md; ARGS="--secret id=pip_conf,src=pip.conf")
	@for kind in cpu gpu; do docker build --build-arg REVISION="$$(git rev-parse HEAD)" \
	    --file docker/Dockerfile.$$kind --tag $(IMAGE)-$$kind $(ARGS) . || exit 1; done

images-check: $(STAMP) ## lint the Dockerfiles, without Docker
	@$(BIN)/hadolint docker/Dockerfile.*

chaos: $(STAMP) ## disturb runs at random, and count what does not come back (ARGS="--minutes 60 --seed 1")
	@$(BIN)/python -m tests.chaos $(ARGS)

fuzz: $(STAMP) ## give all readers of files damaged ones (N=100000)
	@BT_FUZZ=$(or $(N),100000) $(BIN)/python -m pytest tests/fuzz -q -rP $(WORKERS) --dist load $(ARGS)

bench: $(STAMP) ## measure: hours on two cores (ARGS="--quick", ARGS="engine train"); see docs/benchmarks.md
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove .venv, caches and coverage; runs/ stays
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch comes first and by its exact version, so that no other build of it is ever considered.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	@echo "Installing into $(VENV) (a few minutes, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $(TORCH)
	@$(PIP) --editable '.[dev]'
	@touch $@
