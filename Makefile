# The first target that needs it makes .venv from the hashed lock; after that, targets start at once.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-input
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
BROWSER := $(VENV)/.installed-browser
ARGS :=
# Tests mostly wait for something to happen, so more of them than cores run side by side, a file in one process
# (tests/support/suite/scheduling.py), all against one set of servers (tests/support/servers/shared_servers.py).
JOBS := 5
REAL_JOBS := 4
SOAK := false
# Where pytest's exit status goes, if anywhere: make's own does not tell failed tests from a run that broke off.
STATUS_FILE :=
NOTE_STATUS = $(if $(STATUS_FILE),; status=$$?; echo $$status >'$(STATUS_FILE)'; exit $$status)
# Where bytecode is not kept, as in many images, each of the hundreds of processes of a test run would compile it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-all test-real test-without-deltas lint bench clean
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

help:
	@echo 'make demo       real models travel to three regions, on this machine  (ARGS="--json FILE")'
	@echo 'make test       every kind of test that needs no program from outside: minutes   (ARGS="-k name")'
	@echo 'make test-all   all of them: 1,000 seeds, large files, what takes long'
	@echo 'make test-real  the tests against versitygw and the machine'"'"'s redis-server, Chromium, promtool; SOAK=true: 60 rounds of kills'
	@echo 'make test-without-deltas  the tests of make test but those of deltas, in a copy of the tree without them'
	@echo 'make lint       ruff, mypy, import contracts'
	@echo 'make bench      the benchmarks: a table, and JSON   (make bench pods: these alone; ARGS="--json FILE --strict")'
	@echo 'make clean      remove .venv and what tools left; fetched files stay in the user cache'

demo: $(RUN)
	@$(BIN)/modelcast demo $(ARGS)

test: $(DEV)
	@$(BIN)/pytest -m 'not real and not soak and not without_deltas' -n $(JOBS) --dist loadfile $(ARGS)$(NOTE_STATUS)

test-all: $(DEV)
	@MODELCAST_SOAK=true $(BIN)/pytest -m 'not real and not without_deltas' -n $(JOBS) --dist loadfile $(ARGS)$(NOTE_STATUS)

test-real: $(BROWSER)
	@$(BIN)/python -m tests.support.servers.serving_peers
	@MODELCAST_SOAK=$(SOAK) $(BIN)/pytest -m real -n $(REAL_JOBS) --dist loadfile $(ARGS)$(NOTE_STATUS)

# One test, which runs the others of `make test` by itself, in as many processes as they take.
test-without-deltas: $(DEV)
	@$(BIN)/pytest -m without_deltas tests/integration/packaging/test_without_deltas.py $(ARGS)$(NOTE_STATUS)

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# What follows `bench` are names of benchmarks: `make bench pods road`. Those of targets would be made, too.
BENCHES :=
ifeq ($(firstword $(MAKECMDGOALS)),bench)
BENCHES := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
endif
ifneq ($(BENCHES),)
.PHONY: $(BENCHES)
$(BENCHES): bench
	@:
endif

bench: $(DEV)
	@$(BIN)/python -m tests.bench $(if $(BENCHES),--only $(BENCHES)) $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A Python of at least 3.11 that can make virtual environments; where PYTHON=… is given, that one. Its real path, because a
# virtual environment made through a symbolic link may look for its library beside the link.
export FIND_PYTHON := import ensurepip, os, sys, venv; sys.version_info < (3, 11) and sys.exit(1); print(os.path.realpath(sys.executable))
$(VENV)/pyvenv.cfg:
	@for each in $(or $(PYTHON),python3 python3.12 python3.11 python3.13 python3.14); do \
	  found=$$("$$each" -c "$$FIND_PYTHON" 2>/dev/null) || continue; \
	  echo "making $(VENV) with $$("$$found" --version), $$found" >&2; \
	  rm -rf $(VENV) && exec "$$found" -m venv $(VENV); \
	done; \
	echo 'No Python >= 3.11 with venv here. Install one (Debian: apt install python3 python3-venv), or say make PYTHON=/path/to/python3' >&2; \
	exit 1

$(RUN): requirements/all.txt requirements/build.txt pyproject.toml | $(VENV)/pyvenv.cfg
	@echo 'installing what Modelcast needs (once; the lock is requirements/all.txt)' >&2
	@$(PIP) --require-hashes -r requirements/build.txt -r requirements/all.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUN)
	@echo 'installing what its tests need (once; the lock is requirements/dev.txt)' >&2
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

$(BROWSER): requirements/browser.txt $(DEV)
	@echo 'installing what looks at pages in a browser (once; the lock is requirements/browser.txt)' >&2
	@$(PIP) --require-hashes -r requirements/browser.txt
	@touch $@
