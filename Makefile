# One command per chore; `make` alone lists them. Each sets up .venv if need be; a second call reuses it.
#
#   make demo ARGS="run.seed=1"                              settings of one run
#   make setup PYTHON=python3.12                             another interpreter (3.11 or newer)
#   make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
#                                                            torch without CUDA, 200 MB instead of several GB

PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
ARGS ?=
SEEDS ?= 10
MINUTES ?= 30

VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements/cpu.lock requirements/dev.lock
# Set-up is done when the stamp of exactly these files exists; it is written last, so a broken set-up starts again.
STAMP := $(VENV)/.ready-$(shell cat $(LOCKS) pyproject.toml setup.py | cksum | cut -d' ' -f1)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.DEFAULT_GOAL := help
.PHONY: help setup demo test browser faults chaos soak check fuzz bench viewers lock clean distclean

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*##/  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMP)  ## install everything into .venv (about 3 minutes, 3 GB)

demo: $(STAMP)  ## train a small model on problems it cannot solve, on this machine
	$(BIN)/pope train experiment=pope hardware=cpu $(ARGS)

# Exit code 5: ARGS selects no test of this half.
test: $(STAMP) browser  ## run all tests
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m "not alone" $(ARGS) || [ $$? = 5 ]
	$(BIN)/python -m pytest -m alone $(ARGS) || [ $$? = 5 ]

# The tests of the dashboard need a browser. If there is none and none can be installed, they are skipped.
browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || exit 0; \
	echo "installing chromium for the tests of the dashboard"; \
	timeout 240 sh -c 'apt-get -q update && apt-get -qy install --no-install-recommends chromium' >/dev/null 2>&1 || \
	  echo "chromium could not be installed: the tests of the page are skipped"

faults: $(STAMP)  ## inject every fault of the catalogue once (part of the tests)
	$(BIN)/python -m pytest -n 2 --dist loadscope tests/faults $(ARGS)

chaos: $(STAMP)  ## inject every fault under many seeds and write the table of docs/reliability.md (SEEDS=10: 40 minutes)
	$(BIN)/python -m tests.faults.chaos --seeds $(SEEDS) $(ARGS)

soak: $(STAMP)  ## measure the memory of a real run for MINUTES=30
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

check: $(STAMP)  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/mypy

fuzz: $(STAMP)  ## feed random input to everything that parses external data (5 minutes)
	$(BIN)/python -m tests.fuzzing.campaign $(ARGS)

bench: $(STAMP)  ## measure records, broker and CPU engine (2 minutes)
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench_engine

viewers: $(STAMP)  ## measure the cost of 20 dashboard viewers for a live run (ARGS=runs/pope)
	$(BIN)/python -m tests.bench_viewers $(ARGS)

lock: $(STAMP)  ## rewrite the lock files from the installed packages
	$(BIN)/python requirements/freeze.py

clean:  ## remove caches and build products; keeps .venv and runs
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove .venv, too
	rm -rf $(VENV)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: needs Python 3.11 or newer, $(PYTHON) is: $$($(PYTHON) --version 2>&1). Try: make setup PYTHON=python3.11" >&2; exit 2; }
	@if [ -d $(VENV) ] && ! $(PIP) --version >/dev/null 2>&1; then echo "[0/4] removing a broken $(VENV)"; rm -rf $(VENV); fi
	@[ -d $(VENV) ] || { echo "[1/4] making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "[2/4] $(TORCH)"
	@$(PIP) install -q --no-compile $(INDEX) '$(TORCH)'
	@echo "[3/4] $$(cat $(LOCKS) | grep -vc '^#') pinned packages, about 2 minutes"
	@$(PIP) install -q --no-compile --no-deps $(addprefix -r ,$(LOCKS))
	@echo "[4/4] pope-rl"
	@$(PIP) install -q --no-compile --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.ready-*
	@touch $@
	@echo "set-up complete in $(VENV)"
