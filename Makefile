# The project's habits as commands. Each works from nothing: it needs git, make and Python 3.11 to 3.13, no more.
#
#   make test ARGS="tests/engine -k fills"     some of the tests
#   make test PYTHON=/opt/python3.12/bin/python3      with an interpreter of your choice (for a new .venv)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
INSTALLED := .venv/.installed
WORKERS ?= 2
ARGS ?=
# The folders of our code that hold a Python file: mypy refuses an empty one.
CODE := $(foreach folder,data engine reports research scripts benchmarks,$(if $(wildcard $(folder)/*.py),$(folder)))
SOURCES := $(wildcard $(CODE) tests)

export PYTHON

.PHONY: help install demo test test-slow check lint types imports format bench lock clean

help: ## Show the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv from requirements.lock, hashes checked, and install ladder in it, editable

# Written last, so an interrupted install is taken up again by the next command.
$(INSTALLED): requirements.lock pyproject.toml scripts/install
	@sh scripts/install
	@touch $@

demo: $(INSTALLED) ## Forecasts through both engines beside Hummingbot: bundled candles, no network
	@$(BIN)/ladder demo $(ARGS)

test: $(INSTALLED) ## The tests, all but the slow ones
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

# pytest's exit code 5 says that no test was selected.
test-slow: $(INSTALLED) ## The tests marked slow, one at a time: they measure time, or take minutes
	$(BIN)/python -m pytest -m slow $(ARGS) || [ $$? -eq 5 ]

check: lint types imports ## Lint, format, types and the order of imports (make -k check: all, whatever fails)

lint: $(INSTALLED)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(INSTALLED)
	$(BIN)/mypy $(CODE)

imports: $(INSTALLED)
	$(BIN)/lint-imports

format: $(INSTALLED) ## Mend what ruff can mend
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(INSTALLED) ## Every benchmarks/bench_*.py: ratios to the bare libraries
	@for file in $(wildcard benchmarks/bench_*.py); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

lock: ## Pin every dependency of pyproject.toml anew, with hashes (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: install it with 'pip install uv'" >&2; exit 1; }
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra dev pyproject.toml -o requirements.lock

clean: ## Remove .venv, caches and built files; never your data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
