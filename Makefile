# Everything below needs only make and Python 3.11 to 3.13; `make setup` builds .venv with what constraints.txt pins.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find polarmap orchestrator mpi_model search_spaces -type f -not -name '*.pyc') pyproject.toml README.md LICENSE
export RAY_ENABLE_UV_RUN_RUNTIME_ENV := 0

.PHONY: help setup demo test test-older-processor test-pythons test-part test-coverage test-thorough test-slow test-nodes test-browser test-cluster chaos check \
  interval-coverage interval-coverage-short flat-search-short gpu format constraints image-requirements node-requirements hooks clean

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

demo: setup  ## the mission in minutes: ImageNet transfer, tracer heads, nested search, test, report
	$(BIN)/polarmap demo

check: setup  ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A file's tests go to one of this many processes, because they share fixtures.
WORKERS ?= 2
PARALLEL := --numprocesses $(WORKERS) --dist loadfile

test: setup  ## what has to pass, with `make check`: the tests, on the built wheel; WORKERS=2 at a time
	POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest $(PARALLEL)

# What numeric libraries may use of the processor. `lowest` (SSE 4.1) is below every machine, so that it always differs.
LEVEL ?= lowest
LIMITS_avx2 := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
LIMITS_lowest := ONEDNN_MAX_CPU_ISA=SSE41 ATEN_CPU_CAPABILITY=default
NUMERIC := tests/mpi_model tests/orchestrator/cells
test-older-processor: setup  ## the tests that train, as on an older processor: LEVEL=avx2 or lowest
	$(if $(LIMITS_$(LEVEL)),,$(error LEVEL is avx2 or lowest, not $(LEVEL)))
	$(LIMITS_$(LEVEL)) POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest $(PARALLEL) $(NUMERIC)

# Each Python has an environment of its own beside .venv (6 GB, fewer where uv can link files of its cache).
PYTHONS ?= 3.11 3.12 3.13
PART ?= tests
test-pythons:  ## the tests on every declared Python: PYTHONS="3.12 3.13", PART=tests/mpi_model
	for version in $(PYTHONS); do $(MAKE) VENV=.venv-$$version PYTHON=python$$version test-part || exit 1; done

test-part: setup  # of test-pythons
	POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest $(PARALLEL) $(PART)

# Of the tests' own process, which calls the command line's `main` and the inline runner. The Ray runner and the code that
# goes with an exported model run in other processes and are not counted (pyproject.toml): tests under Ray did not end when
# they were traced. `make test` and `make test-thorough` have them.
BRANCHES ?= 90
test-coverage: setup  ## the tests under coverage.py, with its gate on branches
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m 'not slow and not browser and not ray'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage json --quiet -o .coverage.json
	$(BIN)/python -m validation.branch_coverage .coverage.json --branches $(BRANCHES)

test-thorough: setup  ## whole runs under faults, each export, the tutorial: minutes; part of CI
	POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest $(PARALLEL) -m thorough

test-slow: setup  ## the tests that take minutes: Slurm, moto, Ray out of memory, and more
	POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest -m "slow and not cluster"

test-nodes: setup  ## Ray's nodes that come and go, and chaos on object storage: minutes; part of CI
	POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest -m slow tests/orchestrator/runners/test_ray_nodes.py tests/orchestrator/test_chaos.py

test-cluster: setup  ## real clusters on hosts of namespaces: root and Debian packages (what is skipped says which)
	POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest -m cluster tests/cluster

# Chromium is Debian's; axe-core and html-validate are npm's, in a folder that git ignores.
BROWSER_PACKAGES := axe-core@4 html-validate@10
test-browser: setup  ## the report in a browser: Debian's chromium, npm's axe-core and html-validate
	npm install --no-save --no-package-lock --silent --prefix .browser $(BROWSER_PACKAGES) || \
	  echo "npm's packages could not be had: the tests that need them are skipped"
	POLARMAP_TEST_INSTALLED=1 $(BIN)/pytest -m browser tests/orchestrator/report

ROUNDS ?= 50
chaos: setup  ## runs struck by kills, full disks and lost storage until they are done, compared byte for byte
	$(BIN)/python -m validation.chaos --rounds $(ROUNDS)

interval-coverage: setup  ## simulate what every interval covers, and write docs/coverage.md (half an hour)
	$(BIN)/python -m validation.coverage --workers $(WORKERS)

interval-coverage-short: setup  ## some settings of each world with their controls: a minute; part of CI
	$(BIN)/python -m validation.coverage --short

gpu: setup  ## the engine on this machine's GPU, written to benchmarks/gpu.md; without one, the same checks in minutes
	$(BIN)/python -m benchmarks.gpu benchmarks/gpu.md

flat-search-short: setup  ## two worlds of a flat search with their controls: a minute; part of CI
	$(BIN)/python -m validation.flat_search --short

docs: setup  ## the documentation as a site in site/; offline, and a warning is an error
	PYTHONPATH=$(CURDIR) NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

format: setup  ## format and sort imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: setup  ## pin anew: names, versions and hashes, for every supported Python
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml --group dev --group docs --upgrade \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file constraints.txt

image-requirements: setup  ## what the container image installs, pinned as constraints.txt pins it
	echo 'ray[default]' > build-image.in
	$(BIN)/uv pip compile --quiet pyproject.toml build-image.in --constraint constraints.txt --generate-hashes \
	  --python-version 3.12 --python-platform x86_64-manylinux_2_28 --no-emit-index-url --no-header --no-annotate \
	  --output-file cluster/kubernetes/image_requirements.txt
	rm build-image.in

node-requirements: setup  ## what cluster.yaml installs on a node, pinned as constraints.txt pins it
	$(BIN)/uv pip compile --quiet pyproject.toml --extra aws --constraint constraints.txt --generate-hashes \
	  --python-version 3.12 --python-platform x86_64-manylinux_2_28 --no-emit-index-url --no-header --no-annotate \
	  --output-file cluster/node_requirements.txt

hooks: setup  ## let git run formatting, lint and types before each commit
	$(BIN)/pre-commit install

clean:  ## remove what make made
	rm -rf .venv .venv-3.* dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
