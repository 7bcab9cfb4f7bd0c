# make demo    install, then the whole way on scenes that it makes itself: a model, a bundle, a report
# make test    install, then the tests
# make quick   the tests that your changes touch, in about two minutes
# make parity  hold every network against its authors' recorded outputs
# make check   lint, format, types

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO ?= demo

export MASKWRIGHT_SHARED ?= $(abspath ../shared)

.PHONY: demo test quick parity check install clean

demo: install
	$(BIN)/maskwright demo --out $(DEMO) --overwrite

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not parity"

quick: install
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not parity" $$($(BIN)/python tests/quick.py)

parity: install
	$(BIN)/python -m pytest -m parity tests/parity

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) demo runs
