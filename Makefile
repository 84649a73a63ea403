# `make report` measures this machine, `make test` checks the project. Both set up what they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# an extra of pyproject.toml; `make ENGINES=` installs no engine but PyTorch
ENGINES ?= [engines]
# an index of CPU builds of torch, which spare 4 GB of CUDA; empty for the default one
TORCH_INDEX ?=
# a YAML file of settings, read on top of config.yaml
SETTINGS ?=
SNAKEMAKE := $(BIN)/snakemake --cores 1
OF_SETTINGS := $(if $(SETTINGS),--configfile $(SETTINGS))

.PHONY: report smoke retry confirm lint check test test-slurm soak

report: $(VENV)/.installed
	$(SNAKEMAKE) $(OF_SETTINGS)

# The same code on a small network and few requests.
smoke: $(VENV)/.installed
	$(SNAKEMAKE) --configfile smoke.yaml

# Runs again what failed or was unavailable.
retry: $(VENV)/.installed
	$(SNAKEMAKE) retry $(OF_SETTINGS)
	$(SNAKEMAKE) $(OF_SETTINGS)

# Fails where a mode of AFTER is slower than in BEFORE, two runs of this machine: suspects are timed again first.
confirm: $(VENV)/.installed
	rm -f .suspects.yaml
	$(BIN)/python -m effdet_bench compare --before $(BEFORE) --after $(AFTER) --suspects .suspects.yaml || { \
	  test -e .suspects.yaml && $(SNAKEMAKE) --configfile $(SETTINGS) .suspects.yaml && \
	  $(BIN)/python -m effdet_bench compare --before $(BEFORE) --after $(AFTER) --again $(AFTER)-again; }

# Format, lint and types.
lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy

# Those, and the tests that build no network.
check: lint
	$(BIN)/python -m pytest tests/unit

# In an order in which two processes have work to the end: one makes the run that many tests look at. A file that is
# named before its folder would be collected with the folder.
test: lint
	$(BIN)/python -m pytest tests/e2e/test_audit.py tests/networks tests/workflow tests/e2e/test_[!a]*.py tests/simulations tests/unit

# A cluster on loopback, as root on Debian: installs and starts SLURM.
test-slurm: $(VENV)/.installed-test
	$(BIN)/python -m pip install -e '.[slurm]' -c constraints.txt
	$(BIN)/python -m pytest tests/slurm -n 0

# Fifty kills at random moments: half an hour.
soak: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests/soak --dist load

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "effdet-bench needs Python 3.11 or newer, but $(PYTHON) is older or missing: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
ifneq ($(TORCH_INDEX),)
	$(BIN)/python -m pip install -q --no-deps torch torchvision -c constraints.txt --index-url $(TORCH_INDEX)
endif
	$(BIN)/python -m pip install -e '.$(ENGINES)' -c constraints.txt
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install -e '.[test]' -c constraints.txt
	touch $@
