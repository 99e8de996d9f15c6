# make demo: patch a copy of newt_base, train both with the same seeds, draw both   make test: everything CI runs
# make test-random: the tests in another order, which it prints   make coverage: lines and branches that tests reach
# make torture: every call that writes fails once in every way, and 2,000 random steps; minutes
# make mutants: what no test notices if newtfix's own code is changed; MUTANTS='--seed 2 --sample 100'; an hour and more
# make bench: how fast the trainer and the commands are here, into build/bench.json
# PYTHON: the interpreter of the environment; PIP_FLAGS: for instance an index of CPU builds of torch

# From Python 3.13 on, dm_control is installed without labmaze, which has no wheels there and which its suite does not need.
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin
STAMP := .venv/stamp
DEMO := build/demo

# Tests start hundreds of processes of newtfix: what one of them compiles the next need not.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-thorough test-random coverage torture mutation mutants lint gpu-check bench pages setup clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) --editable '.[dev]'
	$(BIN)/python -c 'import dm_control' 2>/dev/null || $(BIN)/python -m pip install --quiet --no-deps 'dm_control>=1.0.28'
	touch $(STAMP)

demo: $(STAMP)
	rm -rf $(DEMO)
	mkdir -p $(DEMO)
	cd $(DEMO) && $(CURDIR)/$(BIN)/newtfix apply --all
	cd $(DEMO) && $(CURDIR)/$(BIN)/newtfix diff --stat
	cd $(DEMO) && $(CURDIR)/$(BIN)/newtfix ablate task=cartpole-swingup preset=cpu --design pairs --budget 4 --dir study
	cd $(DEMO) && $(CURDIR)/$(BIN)/newtfix report study --html report.html --pictures .

# The types are checked beside the tests, which wait for each other at the end.
test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy newtfix patches & types=$$!; $(BIN)/python -m pytest -n 2 --dist worksteal; tests=$$?; wait $$types && exit $$tests

test-thorough: lint
	NEWTFIX_THOROUGH=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-random: lint
	NEWTFIX_ORDER=$${NEWTFIX_ORDER:-random} $(BIN)/python -m pytest -n 2 --dist worksteal

coverage: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered

torture: $(STAMP)
	NEWTFIX_TORTURE=1 $(BIN)/python -m pytest -n 2 tests/newtfix/test_faults.py tests/newtfix/test_sequences.py

mutation: $(STAMP)
	$(BIN)/python tools/mutation_rate.py

mutants: $(STAMP)
	$(BIN)/python -c 'import mutmut' 2>/dev/null || $(BIN)/python -m pip install --quiet $(PIP_FLAGS) 'mutmut>=3.8'
	test -f build/mutants/tests.xml || $(BIN)/python tools/mutants.py --measure
	$(BIN)/python tools/mutants.py $(MUTANTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy newtfix patches

gpu-check: $(STAMP)
	$(BIN)/python tools/gpu_check.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks --json build/bench.json

pages: $(STAMP)
	$(BIN)/python tools/pages.py
	$(BIN)/python tools/session.py
	$(BIN)/python tools/evidence.py

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
