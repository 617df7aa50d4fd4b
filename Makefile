# `make demo` and `make test` need Python 3.11 or newer and nothing else; everything is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
# The recipes whose circuits are in circuits/.
GALLERY := fc2-mnist lenet5-mnist
PEERS := $(VENV)/installed-peers

.PHONY: help demo test bench docs gallery clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    compress LeNet-5 on MNIST and show the outcome (report: runs/lenet5-mnist/report.html)"
	@echo "make test    ruff, mypy and every test, the docs' code blocks and docstrings included"
	@echo "make bench   time adqc against its peers and against the floor"
	@echo "make gallery train the networks of circuits/ anew and renew its entries"
	@echo "make docs    build the documentation (docs/_build/index.html)"
	@echo "make clean   remove the virtual environment and what was built"

demo: $(INSTALLED)
	$(BIN)/adqc run lenet5-mnist

test: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest --durations=10

bench: $(PEERS)
	$(BIN)/python -m benchmarks --rounds 3

# --resume takes what is there, and trains only what is not finished.
gallery: $(INSTALLED)
	for recipe in $(GALLERY); do \
	  $(BIN)/adqc run $$recipe --resume && $(BIN)/adqc gallery add runs/$$recipe || exit 1; \
	done
	$(BIN)/adqc verify circuits
	$(BIN)/adqc gallery evaluate

docs: $(INSTALLED)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo "open docs/_build/index.html"

clean:
	rm -rf $(VENV) docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The marker's time says when the environment was last brought up to the two files that describe it.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "adqc needs Python 3.11 or newer, but $(PYTHON) is older or missing: name one, as in make PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# What adqc is timed against. A peer that does not install is reported in the table, so a failure here ends nothing.
$(PEERS): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]' || \
	  echo "some of the peers did not install; the table says which are missing" >&2
	@touch $@
