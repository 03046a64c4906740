# Every verb installs what it needs first; a second run installs nothing.
# On Windows, without make: `python packaging\setup`, then `.venv\Scripts\nightschool demo`.

PYTHON ?= python3
BIN := .venv/bin
DIR ?=
SEED ?=
NAME ?=
ARGS ?=

.PHONY: help setup setup-dev demo test check bench wheel deb

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

setup:  ## make .venv and install everything (once; resumes after an interruption)
	@$(PYTHON) packaging/setup

setup-dev:
	@$(PYTHON) packaging/setup --dev

demo: setup  ## the whole chain on the example vault: make demo [DIR=folder] [SEED=7]
	@$(BIN)/nightschool demo $(if $(DIR),"$(DIR)") $(if $(SEED),--seed $(SEED)) $(ARGS)

test: setup-dev  ## all tests (ARGS="-m 'not slow'" for the short ones)
	@$(BIN)/python -m pytest $(ARGS)

check: setup-dev  ## lint, format, types, who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

wheel: setup-dev  ## wheel and sdist into dist/, with the versions that were tested together
	@$(BIN)/python -m hatchling build -d dist
	@cp constraints.txt dist/

deb: setup-dev  ## Debian package into dist/: everything in it, no compiler, no download (Linux)
	@$(BIN)/python packaging/debian/build.py dist

# `secrets.py` beside the others would hide the standard library's module from all of them.
BENCH = tests/bench/$(subst -,_,$(patsubst secrets,planted-secrets,$(NAME))).py

bench: setup-dev  ## one benchmark: make bench NAME=vault [ARGS=--quick]
	@test -n "$(NAME)" || { echo "Say which: make bench NAME=<$(shell ls tests/bench 2>/dev/null | sed -n 's/\.py$$//p' | tr '_' '-' | paste -sd'|' -)>" >&2; exit 2; }
	@test -f "$(BENCH)" || { echo "There is no benchmark $(NAME); see tests/bench/." >&2; exit 2; }
	@$(BIN)/python "$(BENCH)" $(ARGS)
