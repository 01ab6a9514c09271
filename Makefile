PYTHON ?= python3
BIN := .venv/bin
RUN_ARGS ?=
SECS ?= 600

.PHONY: run demo test unit test-without-git fuzz check bench interop fmt lock clean

run: .venv/run
	$(BIN)/python -m purgatory_sync $(RUN_ARGS)

demo: .venv/run
	$(BIN)/python -m purgatory_sync.demo

test: unit .venv/isomorphic.made .venv/axe.made
	$(BIN)/python -m pytest -m real -n auto --maxprocesses 4 --dist loadfile

unit: .venv/dev
	$(BIN)/python -m pytest -m "not real" -n auto --dist worksteal

test-without-git: .venv/dev
	.ci/without-git $(BIN)/python -m pytest -m "not real or gitless" -n auto --dist worksteal \
		tests/runtime tests/git tests/engine tests/release

fuzz: .venv/dev
	$(BIN)/python -m tests.fuzzing $(SECS)

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -p no:xdist tests/test_words.py
	$(BIN)/python .ci/wheels.py requirements/run.txt requirements/wheels.txt

bench: .venv/dev
	$(BIN)/python -m benchmarks

# Other software from registries, beside the node; writes docs/compatibility.md. A quarter of an hour.
interop: .venv/dev
	$(BIN)/python -m interop

fmt: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := uv pip compile -q pyproject.toml --universal --python-version 3.11 --no-emit-index-url \
	--no-emit-find-links --no-header --no-annotate --generate-hashes

# run.txt: the node. engine.txt: what a library needs of it.
lock:
	$(LOCK) --extra node -o requirements/run.txt
	$(LOCK) --extra node --group dev -o requirements/dev.txt
	$(LOCK) --constraint requirements/run.txt -o requirements/engine.txt

.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/run: .venv/made requirements/run.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	touch $@

.venv/dev: .venv/run requirements/dev.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

# The tests of isomorphic-git are skipped where this is not possible (no npm, no network).
.venv/isomorphic.made: .venv/made tests/node/git_http/isomorphic/package.json tests/node/git_http/isomorphic/package-lock.json
	mkdir -p .venv/isomorphic
	cp tests/node/git_http/isomorphic/package.json tests/node/git_http/isomorphic/package-lock.json .venv/isomorphic/
	if npm ci --prefix .venv/isomorphic --ignore-scripts --no-audit --no-fund --silent; then touch $@; \
	else echo "isomorphic-git is not installed: its tests are skipped" >&2; fi

# axe-core looks at the pages in Chromium; skipped where it cannot be installed.
AXE := tests/node/pages/axe
.venv/axe.made: .venv/made $(AXE)/package.json $(AXE)/package-lock.json
	mkdir -p .venv/axe
	cp $(AXE)/package.json $(AXE)/package-lock.json .venv/axe/
	if npm ci --prefix .venv/axe --ignore-scripts --no-audit --no-fund --silent; then touch $@; \
	else echo "axe-core is not installed: its test is skipped" >&2; fi

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
