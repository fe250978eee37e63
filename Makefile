# Everything below needs only make and Python 3.11 to 3.13; `make setup` builds .venv with what constraints.txt pins.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find polarmap orchestrator mpi_model search_spaces -type f -not -name '*.pyc') pyproject.toml README.md LICENSE
export RAY_ENABLE_UV_RUN_RUNTIME_ENV := 0

.PHONY: help setup demo test test-slow test-cluster chaos check coverage format constraints image-requirements clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(VENV)/.installed  ## make .venv with polarmap and its tools

$(VENV)/.dependencies: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "polarmap needs Python 3.11 to 3.13, but $(PYTHON) is $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --require-hashes --requirement constraints.txt
	@touch $@

# The built wheel is installed, not the source folder: what is tested is what is shipped.
$(VENV)/.installed: $(VENV)/.dependencies $(SOURCES)
	rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --wheel --out-dir dist
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --reinstall dist/*.whl
	@touch $@

demo: setup  ## the main job on an embedded two-tracer cohort: search, training, test, report
	$(BIN)/polarmap demo

check: setup  ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## what has to pass: the checks above and the tests, on the built wheel
	POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest

test-slow: setup  ## the tests that take minutes: Slurm, moto, Ray out of memory, and more
	POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest -m "slow and not cluster"

test-cluster: setup  ## real clusters on hosts of namespaces: root and Debian packages (what is skipped says which)
	POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest -m cluster tests/cluster

ROUNDS ?= 50
chaos: setup  ## runs struck by kills, full disks and lost storage until they are done, compared byte for byte
	$(BIN)/python -m validation.chaos --rounds $(ROUNDS)

coverage: setup  ## simulate what every interval covers, and write docs/coverage.md (minutes)
	$(BIN)/python -m validation.coverage --out docs/coverage.md

format: setup  ## format and sort imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: setup  ## pin anew: names, versions and hashes, for every supported Python
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml --group dev --upgrade \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file constraints.txt

image-requirements: setup  ## what the container image installs, pinned as constraints.txt pins it
	echo 'ray[default]' > build-image.in
	$(BIN)/uv pip compile --quiet pyproject.toml build-image.in --constraint constraints.txt --generate-hashes \
	  --python-version 3.12 --python-platform x86_64-manylinux_2_28 --no-emit-index-url --no-header --no-annotate \
	  --output-file cluster/kubernetes/image_requirements.txt
	rm build-image.in

clean:  ## remove what make made
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
