# `make report` measures this machine. `make test` checks the project. Every target first installs what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# An extra of pyproject.toml. `make ENGINES=` installs PyTorch as the only engine.
ENGINES ?= [engines]
# An index of CPU builds of torch, which need no CUDA (4 GB). Empty for the default index.
TORCH_INDEX ?=
# pip shows its progress bar on a terminal, and no list of packages elsewhere.
# It compiles no module: that takes a minute, and a run imports few of them.
PIP := $(BIN)/python -m pip install --no-compile $(shell test -t 2 || echo -q)
# A YAML file of settings that replace those of config.yaml.
SETTINGS ?=
MISSING := $(filter-out $(wildcard $(SETTINGS)),$(SETTINGS))
ifneq ($(MISSING),)
$(error SETTINGS names $(MISSING), but there is no such file)
endif
SNAKEMAKE := $(BIN)/snakemake --cores 1
OF_SETTINGS := $(if $(SETTINGS),--configfile $(SETTINGS))

# So Python must keep what it compiles when it first imports a module, even where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: report smoke confirm lint check test test-slurm soak

report: $(VENV)/.installed
	$(SNAKEMAKE) $(OF_SETTINGS)

# The same code on a small network, with few requests.
smoke: $(VENV)/.installed
	$(SNAKEMAKE) --configfile smoke.yaml

# Compares two runs of this machine. If modes are slower in AFTER than in BEFORE, or no longer valid, it times them again,
# because one run can be slower by chance. It fails if the third run confirms a regression.
confirm: $(VENV)/.installed
	@test -n "$(BEFORE)" -a -n "$(AFTER)" || { echo "make confirm needs two runs: BEFORE=old.zip AFTER=results/…"; exit 1; }
	rm -f .suspects.yaml
	$(BIN)/effdet-bench compare $(BEFORE) $(AFTER) --suspects .suspects.yaml || { \
	  test -e .suspects.yaml && $(SNAKEMAKE) --configfile $(SETTINGS) .suspects.yaml && \
	  $(BIN)/effdet-bench compare $(BEFORE) $(AFTER) --again results/$$(sed -n "s/^machine: //p" .suspects.yaml); }

# Format, lint and types.
lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy

# Format, lint, types, and the tests that build no network.
check: lint
	$(BIN)/python -m pytest tests/unit tests/runtime

# The order of folders keeps two test processes busy to the end: one process makes the run that many tests read.
# test_audit.py comes first. A pattern names the other files of tests/e2e, because pytest would collect test_audit.py
# together with a folder.
test: lint
	$(BIN)/python -m pytest tests/e2e/test_audit.py tests/networks tests/workflow tests/e2e/test_[!a]*.py tests/simulations tests/runtime tests/unit

# Installs SLURM and starts a cluster on loopback. Needs root, and Debian.
test-slurm: $(VENV)/.installed-test
	$(PIP) -e '.[slurm]' -c constraints.txt
	$(BIN)/python -m pytest tests/slurm -n 0

# Kills a run fifty times, at random moments. Takes half an hour.
soak: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests/soak --dist load

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "effdet-bench needs Python 3.11 or newer, but $(PYTHON) is older or missing: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
ifneq ($(TORCH_INDEX),)
	$(PIP) --no-deps torch torchvision -c constraints.txt --index-url $(TORCH_INDEX)
endif
	$(PIP) -e '.$(ENGINES)' -c constraints.txt
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) -e '.[test]' -c constraints.txt
	touch $@
