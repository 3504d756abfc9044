# Every target makes the environment it needs: .venv, made once and updated when pyproject.toml
# changes. `make` alone lists the targets.

VENV ?= .venv
WORKERS ?= 2
ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint types layers check notebooks pictures bench clean

help: ## List the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.installed ## Run the sample trace under two memory policies; pictures in out/demo
	@echo "== Uniform paging: every layer keeps every token"
	@$(BIN)/jenga-sim run --sample --policy paged
	@echo
	@echo "== Jenga's two-level allocator: each layer keeps what it will read"
	@$(BIN)/jenga-sim run --sample --policy lcm --out out/demo --quiet
	@echo
	@echo "Pictures of the second run: out/demo/memory.png (where the bytes are) and"
	@echo "out/demo/batch.png (requests running and waiting). All figures: out/demo/summary.json"

test: $(VENV)/.installed-dev ## Run all tests; ARGS="-k lcm" selects some
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(VENV)/.installed-dev ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.installed-dev ## Check types
	$(BIN)/pyright --pythonpath $(BIN)/python

layers: $(VENV)/.installed-dev ## Check that imports point down only
	$(BIN)/lint-imports --no-logo

check: lint types layers test ## Do all of the above checks

notebooks: $(VENV)/.installed-dev ## Run the notebooks and store their output
	$(BIN)/python tests/test_notebooks.py

pictures: $(VENV)/.installed ## Draw the pictures of docs/policies.md
	$(BIN)/python docs/draw_policies.py

bench: $(VENV)/.installed ## Measure how fast all is, in JSON lines; ARGS="--quick chat" selects
	@$(BIN)/python benchmarks/bench.py $(ARGS)

clean: ## Remove results, caches and the environment
	rm -rf out build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf $(VENV)

# The first Python that is new enough and able to make environments.
$(BIN)/python:
	@set -e; for name in python3.11 python3.12 python3.13 python3.14; do \
	  if $$name -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "Making $(VENV) with $$name"; exec $$name -m venv $(VENV); fi; done; \
	echo "Python 3.11 to 3.14 with its venv module is needed" >&2; exit 1

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing jenga-sim into $(VENV)" >&2
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the development tools into $(VENV)" >&2
	@$(PIP) install --group dev
	@touch $@
