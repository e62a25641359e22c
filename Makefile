# Triptych: the few commands that people and CI share.
# PYTHON may name any Python 3.10 or newer: make run PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
SERVE ?=
PYTEST ?=
PRECISION ?=

.PHONY: help setup run check test test-all lint bench lock audit docs site translations

help:
	@echo "make run    set up and serve the studio on http://127.0.0.1:5000 (options: SERVE='--port 8080')"
	@echo "make check  lint, types, and the tests that need no Ray, no browser and little time: before each commit"
	@echo "make test   set up and run all tests, a real browser included (options: PYTEST='-k images', PRECISION=f32)"
	@echo "make test-all  the same for every family of networks, and longer"
	@echo "make lint   ruff, mypy, and the sizes of functions"
	@echo "make bench  measure, and compare with what the README claims (takes hours)"
	@echo "make docs   write the generated pages of docs/ anew"
	@echo "make translations  bring the catalogs of all languages up to date"
	@echo "make site   make the documentation site, build/site/, from docs/"
	@echo "make lock   pin and hash all requirements anew"
	@echo "make audit  look the pinned requirements up in a list of known vulnerabilities (needs network)"

# --- environment: .venv, made once for each set of requirements ---------------------------------

setup: .venv/run.done

.venv/bin/python:
	@echo "Making the environment in .venv ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or newer is needed; try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "Python cannot make environments here; on Debian or Ubuntu: apt install python3-venv"; exit 1; }

.venv/run.done: .venv/bin/python requirements/run.txt pyproject.toml
	@echo "Installing what the studio needs (about 680 MB on disk, once) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/run.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.done: .venv/run.done requirements/dev.txt
	@echo "Installing what the tests need (TensorFlow is the reference; about 2.9 GB, once) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.venv/site.done: .venv/bin/python requirements/site.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/site.txt
	@touch $@

# --- commands ----------------------------------------------------------------------------------

run: .venv/run.done
	@$(BIN)/triptych serve $(SERVE)

# Each worker takes whole files, the longest first. Python writes bytecode, or each worker
# would compile all tests anew.
RUN_PYTEST = env -u PYTHONDONTWRITEBYTECODE $(if $(PRECISION),TRIPTYCH_PRECISION=$(PRECISION)) \
  $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

check: .venv/dev.done
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(RUN_PYTEST) -n 2 -q -m "not (browser or network or ray or slow or thorough)" \
	  -p no:schemathesis --ignore tests/web/test_openapi.py --ignore-glob '*/test_scale_*' $(PYTEST)

# Three workers for two cores: tests of clusters and browsers spend much of their time waiting.
test: .venv/dev.done
	@tools/ensure-chromium
	@echo "Running the tests; screenshots go to tests/screenshots/ ..."
	@$(RUN_PYTEST) -n 3 $(PYTEST)

test-all:
	@$(MAKE) --no-print-directory test PYTEST="-m '' --hypothesis-profile explore $(PYTEST)"

lint: .venv/dev.done
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python tools/sizes.py

bench: .venv/dev.done
	@for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

docs: .venv/run.done
	@$(BIN)/python tools/generate_docs.py

translations: .venv/run.done
	@$(BIN)/python tools/translations.py

site: .venv/site.done
	@$(BIN)/zensical build --strict --clean
	@echo "To read it: python3 -m http.server --directory build/site"

# One resolution for everything (dev), and the studio's part of it (run), and
# what a container needs to serve (serve), with no index addresses.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
  --no-emit-index-url --custom-compile-command "make lock"

# In an environment of its own: what it needs is no part of ours. AUDIT='-s osv' asks another list.
audit: .venv/bin/python
	@$(BIN)/python -m venv build/audit
	@build/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	@for file in requirements/*.txt; do echo "$$file:"; \
	  build/audit/bin/pip-audit --progress-spinner off --disable-pip --require-hashes $(AUDIT) -r $$file || failed=1; \
	done; test -z "$$failed"

lock: .venv/bin/python
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@$(LOCK) pyproject.toml --extra client --extra export --extra heic --extra https --extra hub --extra int8 --extra mlflow --extra plots --extra ray --extra sso --extra teach --extra tensorflow --group dev --group build --group site -o requirements/dev.txt
	@$(LOCK) pyproject.toml --extra heic --extra https --extra teach -c requirements/dev.txt -o requirements/run.txt
	@$(LOCK) pyproject.toml --extra heic --extra https -c requirements/dev.txt -o requirements/serve.txt
	@$(LOCK) --group pyproject.toml:build -c requirements/dev.txt -o requirements/build.txt
	@$(LOCK) --group pyproject.toml:site -c requirements/dev.txt -o requirements/site.txt
