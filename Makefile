# vrouter: what can be made. Every target sets up what it needs by itself; `make` alone lists them.
#
#   PYTHON=…   the Python (3.11 or newer) that the environment is made with; by default the first one found by name
#   PEERS=DIR  where `make bench` finds its peers
#   PARTS=…    some parts of `make bench` alone, printed: namespaces,stages,starts,routes,connections,routed,hosts,goodput
#   ARGS=…     further arguments for pytest, e.g. make test ARGS="-k fragment"
#   VROUTER_CYTHON=auto|require|skip
#              what setup.py compiles: what it can (the default), all or nothing at all, nothing

VENV   := .venv
PY     := $(VENV)/bin/python
PEERS  ?= ../shared/peers
PARTS  ?=
ARGS   ?=
FRAMES ?= 1000000

export VROUTER_CYTHON ?= auto

# The tools that the tests drive live in the system's directories, which a user's PATH may lack.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help
.PHONY: always help demo test check lint types contracts format tools bench bench-smoke fuzz clean

help:
	echo "make demo         three tenants with the same subnets, IPv4 and IPv6, and what crosses between them (root)"
	echo "make test         lint, types, import contracts and the whole test suite"
	echo "make bench        vrouter beside its peers -> benchmarks/RESULTS.md (root; PEERS=$(PEERS))"
	echo "make bench-smoke  the same benchmarks in seconds, to see that they run"
	echo "make fuzz         $(FRAMES) hostile frames and sequences (FRAMES=n)"
	echo "make check        lint, types and contracts only; one by one: make lint | types | contracts"
	echo "make format       format the code"
	echo "make clean        remove the environment, caches and builds"

# ---------------------------------------------------------------------------------------------------------- environment

# The stamps make a second run quick: pip runs again only when what is built changed, or how.
BUILD := pyproject.toml setup.py $(wildcard vrouter/stack/*/*.pyx vrouter/stack/*/*.pxi) $(VENV)/.cython
BUILT := $(PY) -c 'from vrouter.stack.l3.fib import COMPILED; print("==> the routing table is", "compiled" if COMPILED else "pure Python")'

$(PY):
	scripts/make-venv $(VENV)

$(VENV)/.cython: always | $(PY)
	if [ "$$(cat $@ 2>/dev/null)" != "$(VROUTER_CYTHON)" ]; then
		echo "$(VROUTER_CYTHON)" >$@
	fi

$(VENV)/.installed: $(BUILD) | $(PY)
	echo "==> installing vrouter into $(VENV)"
	$(PY) -m pip install --quiet --quiet --editable . </dev/null
	$(BUILT)
	touch $@

$(VENV)/.installed-test: $(BUILD) | $(PY) tools
	echo "==> installing vrouter and its test tools into $(VENV)"
	$(PY) -m pip install --quiet --quiet --editable '.[test]' </dev/null
	$(BUILT)
	touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(BUILD) | $(PY) tools
	echo "==> installing vrouter and what its benchmarks need into $(VENV)"
	$(PY) -m pip install --quiet --quiet --editable '.[bench]' </dev/null
	$(BUILT)
	touch $@ $(VENV)/.installed

tools:
	scripts/install-tools

# ----------------------------------------------------------------------------------------------------------------- run

demo: $(VENV)/.installed
	exec $(VENV)/bin/vrouter demo

# -------------------------------------------------------------------------------------------------------------- quality

lint: $(VENV)/.installed-test
	echo "==> ruff"
	$(PY) -m ruff check --quiet .
	$(PY) -m ruff format --quiet --check . || { echo "not formatted as above: make format" >&2; exit 1; }

types: $(VENV)/.installed-test
	echo "==> mypy --strict"
	$(PY) -m mypy --no-error-summary

contracts: $(VENV)/.installed-test
	echo "==> import contracts"
	$(VENV)/bin/lint-imports --no-cache >$(VENV)/contracts.log 2>&1 || { cat $(VENV)/contracts.log >&2; exit 1; }

check: lint types contracts

format: $(VENV)/.installed-test
	$(PY) -m ruff check --quiet --fix-only .
	$(PY) -m ruff format --quiet .

# Lint, format, types and contracts are tests too (tests/rules), so that pytest's summary is the whole truth, and the last
# line. As root it runs in a sandbox of its own, so that nothing of it reaches this machine.
test: $(VENV)/.installed-test tools
	$(PY) -m tests.fuzz --fetch
	scripts/sandbox $(PY) -m pytest $(ARGS)

fuzz: $(VENV)/.installed-test
	exec $(PY) -m tests.fuzz --frames $(FRAMES)

# ----------------------------------------------------------------------------------------------------------- benchmarks

bench: $(VENV)/.installed-bench tools
	exec $(PY) -m benchmarks --peers "$(PEERS)" $(if $(PARTS),--parts "$(PARTS)",--output benchmarks/RESULTS.md)

bench-smoke: $(VENV)/.installed-bench tools
	exec $(PY) -m benchmarks --smoke

clean:
	rm -f vrouter/stack/*/*.so
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
