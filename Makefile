# The only front door. Every target sets up what it needs; a fresh machine has nothing but
# Python 3.11 with venv and headers, make and gcc.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PYTEST_ARGS ?=

.PHONY: demo test cover lint types contracts bench docs soak drill-clients drill-audit wheel clean help
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F":.*## " '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml setup.py requirements/dev.txt requirements/demo.txt requirements/demo-no-deps.txt requirements/constraints.txt $(wildcard mifeng/crypto/_native/*.c mifeng/crypto/_native/*.h)
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (once, a minute or two)"
	@$(BIN)/pip install -qq --disable-pip-version-check -U -c requirements/constraints.txt pip setuptools wheel
	@$(BIN)/pip install -qq --disable-pip-version-check -c requirements/constraints.txt -r requirements/dev.txt -r requirements/demo.txt
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps -c requirements/constraints.txt -r requirements/demo-no-deps.txt
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## run the nine steps on real input: OCR of an invoice, risk scoring, then tampering
	@$(BIN)/mifeng demo

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

cover: $(STAMP)  ## every branch of attestation/ is taken by its own tests, or this fails
	$(BIN)/python -m pytest -n 2 --dist loadgroup -q tests/unit/attestation tests/unit/policies \
	  tests/threats/test_attested_machines.py tests/threats/test_machine_and_log.py \
	  --cov=attestation --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

lint: $(STAMP)  ## ruff, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

contracts: $(STAMP)  ## who may import whom
	$(BIN)/lint-imports

bench: $(STAMP)  ## every benchmark, quick form
	$(BIN)/python -m benchmarks all --quick

soak: $(STAMP)  ## the long drills, whose results are recorded in docs/storage.md
	$(BIN)/python -m tests.drills.soak

docs: $(STAMP)  ## regenerate vectors and tables that documents show, and fail if they drift
	$(BIN)/python tests/vectors/build_vectors.py
	git diff --exit-code tests/vectors docs README.md

drill-clients: $(STAMP)  ## unmodified client programs against the proxy, then a batch
	@$(BIN)/python -m tests.drills.clients

drill-audit: $(STAMP)  ## gateways and nodes killed under load, then the log judged offline by a stranger
	@$(BIN)/python -m tests.drills.audit

wheel: $(STAMP)  ## build what partners install
	$(BIN)/pip wheel -q --no-deps --no-build-isolation -w dist .

clean:  ## remove everything that was built
	rm -rf $(VENV) build dist .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
	find . -name '*.so' -path './mifeng/*' -delete
