# `make run` and `make test` are all a newcomer needs; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV := .tools/bin/uv
PY := .venv/bin/python
ENGINE_PY := engine/.venv/bin/python
export UV_PYTHON_PREFERENCE ?= only-system
export PYTHONPATH :=

.PHONY: help install install-dev browser node widget run train test lint unit test-long bench bench-desk lock clean

help:  ## what one can do here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

run: install  ## install what is missing, train, migrate, start everything; Ctrl-C stops it
	@NEEDLEPOINT_DEMO_PAGE=$${NEEDLEPOINT_DEMO_PAGE:-true} $(PY) -m needlepoint up

install: .venv/installed engine/.venv/installed  ## both environments, exactly as locked

train: install  ## train the model when its inputs have changed
	@$(PY) -m needlepoint train --if-due

# -- environments -------------------------------------------------------------------------------------------------
# Each is made again when its lock changes. scripts/python says where an interpreter is, or lets uv fetch one.

$(UV): tools.lock
	@echo "Setting up uv ..."
	@python3 -m venv .tools || { echo "python3 has no venv module: install it (Debian: apt-get install python3-venv)"; exit 1; }
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools.lock
	@touch $@

.venv/installed: requirements.lock | $(UV)
	@echo "Installing the app ..."
	@scripts/python 3.12 3.11 3.13 | xargs -I{} $(UV) venv --quiet --clear --python {} .venv
	@$(UV) pip sync --quiet --require-hashes --python $(PY) requirements.lock
	@$(PY) -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true  # every later start is seconds faster for it
	@touch $@

engine/.venv/installed: engine/requirements.lock | $(UV)
	@echo "Installing the engine (Rasa and TensorFlow, about 600 MB to fetch) ..."
	@scripts/python 3.10 | xargs -I{} $(UV) venv --quiet --clear --python {} engine/.venv
	@$(UV) pip sync --quiet --require-hashes --python $(ENGINE_PY) engine/requirements.lock
	@$(ENGINE_PY) -m compileall -q -j 0 engine/.venv/lib >/dev/null 2>&1 || true
	@touch $@

.venv/installed-dev: requirements-dev.lock engine/requirements-dev.lock .venv/installed engine/.venv/installed
	@echo "Installing what the tests need ..."
	@$(UV) pip install --quiet --require-hashes --no-deps --python $(PY) -r requirements-dev.lock
	@$(UV) pip install --quiet --require-hashes --no-deps --python $(ENGINE_PY) -r engine/requirements-dev.lock
	@touch $@

install-dev: .venv/installed-dev  ## what tests and linters need as well

browser: ## Chromium for the browser tests
	@scripts/chromium

node: ## Node for the widget's tests
	@scripts/node

widget: node  ## build the website widget from its sources; commit what changes in widget/dist
	@cd widget && npm ci --no-fund --no-audit && npm run check && npm run build

lock: $(UV)  ## resolve both projects again, to the newest releases their pyproject.toml admit
	@scripts/lock $(UV)

# -- tests ----------------------------------------------------------------------------------------------------------

test: install-dev browser node lint  ## everything that must pass
	@$(PY) -m needlepoint train --if-due
	@scripts/test

lint: install-dev  ## ruff, mypy, import-linter
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports

unit: install-dev  ## the fast tests
	@$(PY) -m pytest -q tests/unit

test-long: install-dev  ## what takes minutes: a long talk; Telegram under load and with apps killed; each stored wording hidden while it is asked
	@$(PY) -m needlepoint train --if-due
	@$(PY) -m pytest -q -s -m long tests

bench: install-dev browser node  ## time a message takes, and messages a second beside two stock Rasa set-ups (needs wrk); understanding beside Rasa's default pipeline; size and speed of the widget beside deep-chat
	@$(PY) -m needlepoint train --if-due
	@$(PY) -m benchmarks.turns
	@$(PY) -m benchmarks.throughput
	@$(PY) -m benchmarks.understanding
	@$(PY) -m benchmarks.widget

bench-desk: install-dev  ## time lists, searches and transcripts at the desk with 100,000 conversations; PLANS=1 explains
	@$(PY) -m benchmarks.staff_desk $(if $(PLANS),--plans)

clean:  ## remove environments and everything made at run time, the database too
	rm -rf .venv engine/.venv .tools var
