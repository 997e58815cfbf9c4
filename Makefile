# The two commands that matter are `make run` and `make test`; `make help` lists the rest.
#
# PYTHON=…   the Python to build .venv with (default: the environment's own, else the newest that is found)
# CUDA=0|1   0: keep to the CPU; 1: a GPU build or an error (default: a GPU build where there is a driver)
# ARGS=…     passed on to the program that the target runs

SHELL := /bin/sh
PYTHON ?=
CUDA ?=
ARGS ?=

VENV := .venv/bin
PYTHONS := $(or $(PYTHON),.venv/bin/python python3.13 python3.12 python3.11 python3 python)
SETUP = python=$$(sh tools/find_python.sh $(PYTHONS)) && \
	"$$python" tools/setup.py $(if $(PYTHON),--this-python) --cuda "$(CUDA)"

.PHONY: run test check fmt snap bench models soak clean distclean help setup-run setup-dev lint types imports format
.DEFAULT_GOAL := help

run: setup-run ## set up what is missing and start the program (ARGS="--model FILE")
	@$(VENV)/python -m kobold_tui $(ARGS)

test: setup-dev ## run the tests (ARGS="-k name")
	$(VENV)/pytest $(ARGS)

check: format lint types imports ## formatting, lint, types and import rules: what CI runs

format: setup-dev
	$(VENV)/ruff format --check .

lint: setup-dev
	$(VENV)/ruff check .

types: setup-dev
	$(VENV)/mypy

imports: setup-dev
	$(VENV)/lint-imports --no-logo

fmt: setup-dev ## format the code and mend what ruff can mend
	$(VENV)/ruff format .
	$(VENV)/ruff check --fix .

snap: setup-dev ## redraw the screen snapshots; look at them before you commit
	$(VENV)/pytest --snapshot-update $(ARGS)

bench: setup-dev ## run the benchmarks (ARGS="startup")
	$(VENV)/python -m tools.bench $(ARGS)

models: setup-dev ## fetch and convert all-MiniLM-L6-v2, which some tests and benchmarks compare with
	$(VENV)/python -m tools.make_minilm

soak: setup-dev ## run the long campaigns
	$(VENV)/pytest -m soak $(ARGS)

clean: ## delete caches and build results, keep .venv
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache snapshot_report.html
	find kobold_tui tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## delete .venv as well
	rm -rf .venv

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup-run:
	@$(SETUP) run

setup-dev:
	@$(SETUP) dev
