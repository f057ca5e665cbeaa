# Every target prepares .venv by itself, with exact pins; the second time that costs nothing.
#   make demo     a local RDS, a shop on it, a real failover in the middle, and the report
#   make quick    the tests that start no server: two minutes at most
#   make test     all tests that gate a change, on real servers      make test ARGS="tests/client -k pool"
#   make soak     random storms, repetitions, wide matrices
#   make check    format, lint, types, floors, house rules, plain English, known vulnerabilities (offline)
#   make audit    known vulnerabilities of the pinned packages; asks PyPI, so it needs a network
#   make docs     the documentation site, in build/site
#   make bench    each claim of speed beside its peers
#   make clean    stop the local RDS and remove all that was made, .venv included
# PYTHON=… chooses the interpreter (3.11 or later).

.DELETE_ON_ERROR:
.PHONY: help demo quick test soak check format audit docs bench lock clean

PY := .venv/bin/python
# One run on the machine at a time; a second one says what it waits for.
ALONE = $(PY) tools/alone.py "make $@"
CODE := src tests bench examples tools
ARGS ?=

# A virtual environment knows its own path: after the checkout has moved, it is made anew.
ifneq ($(shell cat .venv/.made-in 2>/dev/null),$(CURDIR))
MOVED := moved
endif

help:
	@sed -n 's/^#   //p' Makefile

.PHONY: moved
moved:

.venv/.dev: requirements/dev.txt pyproject.toml tools/venv.sh $(MOVED)
	@tools/venv.sh requirements/dev.txt
	@touch $@

.venv/.bench: requirements/bench.txt .venv/.dev
	@tools/venv.sh requirements/bench.txt
	@touch $@

.venv/.types: requirements/types.txt .venv/.dev
	@tools/venv.sh requirements/types.txt
	@touch $@

.venv/.docs: requirements/docs.txt .venv/.dev
	@tools/venv.sh requirements/docs.txt
	@touch $@

.venv/.audit: requirements/audit.txt .venv/.dev
	@tools/venv.sh requirements/audit.txt
	@touch $@

demo: .venv/.dev
	@$(PY) -m rdskit demo --json-file demo-report.json --html demo-report.html $(ARGS)
	@echo 'rdskit is .venv/bin/rdskit; `. .venv/bin/activate` puts it on the PATH of this shell, for the tour in README.md'

# Three workers on two cores: half of a test is waiting for servers. Each worker has servers of its own.
WORKERS ?= 3
# A worker that ends is not replaced: with whole files handed out, pytest-xdist 3.8 then waits for ever for its tests.
PYTEST := $(PY) -m pytest -n $(WORKERS) --max-worker-restart 0
# Files in the order of tests/budgets.toml, the longest first, and not those with most tests.
FILES := --dist loadfile --no-loadscope-reorder

quick: .venv/.types
	@$(PYTEST) --dist worksteal --speed quick $(ARGS)

test: .venv/.types
	@$(ALONE) $(PYTEST) $(FILES) --rooms $(ARGS)

soak: .venv/.types
	@$(ALONE) $(PYTEST) $(FILES) --speed soak $(ARGS)

check: .venv/.audit
	@.venv/bin/ruff format --check --quiet $(CODE) || { echo "make check: some files are not formatted; run: make format"; exit 1; }
	@.venv/bin/ruff check --quiet $(CODE)
	@$(PY) -m mypy --no-error-summary
	@.venv/bin/lint-imports --no-logo
	@$(PY) tools/house_rules.py $(CODE)
	@$(PY) tools/prose.py
	@$(PY) tools/audit.py --service offline

format: .venv/.dev
	@.venv/bin/ruff format $(CODE)
	@.venv/bin/ruff check --fix --quiet $(CODE)

audit: .venv/.audit
	@$(PY) tools/audit.py $(ARGS)

docs: .venv/.docs
	@$(PY) tools/site.py
	@cd build && ../.venv/bin/zensical build --strict -f mkdocs.yml
	@echo 'open build/site/index.html'

bench: .venv/.bench
	@$(ALONE) $(MAKE) --no-print-directory benches

.PHONY: benches
benches:
	@failed=0; for script in query_overhead transaction_overhead pool_contention import_time pipelining bulk routing aurora_reads outbox cache cache_races changes; do $(PY) bench/$$script.py $(ARGS) || failed=1; done; $(PY) bench/query_overhead.py --one-cpu $(ARGS) || failed=1; exit $$failed

lock: .venv/.dev
	@$(PY) tools/lock.py

clean:
	@if [ -x $(PY) ] && [ -d .rdskit ]; then $(PY) -m rdskit local down --data .rdskit; fi
	@rm -rf .venv .rdskit .pytest_tmp /dev/shm/rdskit-tests$(subst /,-,$(CURDIR)) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage dist build demo-report.*
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
