# `make demo` and `make test` are all that a newcomer needs; both start from nothing.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test soak lint format benchmark clean

help:
	@echo "make demo       install into $(VENV) and audit sample_media/"
	@echo "make test       install what the tests need and run them"
	@echo "make soak       run the long fault tests: fifty kills, a thousand mutations, three hours"
	@echo "make lint       ruff and mypy"
	@echo "make format     let ruff format the code"
	@echo "make benchmark  print the table of benchmarks/throughput.py"

# One stamp a set of extras: pip runs again only when pyproject.toml changes.
$(VENV)/.installed-run: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[train,demo,dev]'
	touch $@ $(VENV)/.installed-run

demo: $(VENV)/.installed-run
	$(BIN)/facemask-batch run sample_media --out audit-demo --overwrite

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

soak: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m soak -s

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/throughput.py

clean:
	rm -rf $(VENV) audit-demo build *.egg-info
