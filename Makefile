# The front door. `make run` sets up and runs the main job; `make test` sets up and passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
LIMIT := $(if $(shell command -v timeout),timeout --foreground --kill-after=30 50m)
ARGS ?=
LOWEST := tests/config tests/encoding tests/kernels tests/session tests/recording tests/sources tests/decoding
CONSTRAINTS ?= .ci/known-good.txt
INSTALL = $(BIN)/pip install --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) --editable

.PHONY: help run test test-slow mutation newest lowest known-good check setup setup-dev docs release clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

run: setup  ## set up, then run a closed-loop session with the cursor in a window (ARGS="--duration 60")
	$(BIN)/bmi run $(ARGS)

test: setup-dev check  ## set up, then lint, types, import contracts, tests, documentation examples
	$(ONE_THREAD) $(LIMIT) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 -m "not slow" $(ARGS)

test-slow: setup-dev  ## the tests that take minutes
	$(ONE_THREAD) $(BIN)/python -m pytest -m slow --timeout 3600 $(ARGS)

mutation: setup-dev  ## faults put into the safety states and the guard, one at a time: does a test notice each?
	$(ONE_THREAD) $(BIN)/python benchmarks/mutation.py --of safety
	$(ONE_THREAD) $(BIN)/python benchmarks/mutation.py --of guard

newest:  ## the fast tests with the newest versions of everything, in an environment of their own
	$(MAKE) test VENV=.venv-newest CONSTRAINTS=

lowest:  ## the fast tests of the step with the lowest versions that pyproject.toml allows, in an environment of their own
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	$(PYTHON) .ci/lowest.py > .venv-lowest/lowest.txt
	.venv-lowest/bin/pip install --disable-pip-version-check --constraint .venv-lowest/lowest.txt \
	--editable ".[plots,nwb,tables,lsl,redis,onnx,sweep]" pytest pytest-timeout pytest-qt hypothesis
	$(ONE_THREAD) .venv-lowest/bin/python -m pytest -m "not slow" $(LOWEST) $(ARGS)

release: setup  ## sdist and wheel of this commit into dist/, built twice and refused unless both are the same bytes
	.ci/release $(BIN)

known-good:  ## after `make newest`: write its versions down as those to install
	{ sed -n '/^#/p' .ci/known-good.txt; \
	.venv-newest/bin/pip list --format=freeze --exclude bmi-runtime --exclude pip --exclude setuptools; } > .ci/known-good.new
	mv .ci/known-good.new .ci/known-good.txt

check: setup-dev  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(VENV)/.ready  ## a virtual environment with what a session needs
setup-dev: $(VENV)/.ready-dev  ## the same with what the tests need

$(VENV)/.ready: pyproject.toml .ci/system-libraries $(CONSTRAINTS)
	sh .ci/system-libraries $(PYTHON)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing what a session needs into $(VENV): about 230 MB to download, 800 MB on disk, a minute or two; once."
	$(INSTALL) ".[plots]"
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@echo "Installing what the tests need as well: about 250 MB more to download; once."
	$(INSTALL) ".[dev]"
	touch $@

docs: setup-dev  ## the documentation site, into site/
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file .ci/mkdocs.yml

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .venv-newest .venv-lowest dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
