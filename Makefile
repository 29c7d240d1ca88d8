# One command each; every one sets up what it needs. Needs Python 3.11 to 3.13, git, make and a package registry.
SHELL := /bin/sh
BIN := .venv/bin
STAMP := .venv/.complete

.PHONY: help setup demo test check bench docs vault vault-if-go clean
help:
	@echo "make demo   run the sample pipeline      make test   run all tests"
	@echo "make check  everything a change needs    make bench  measure against pandas and psql"
	@echo "make setup  only make .venv              make docs   write docs/reference anew"
	@echo "make vault  build the Vault server that the tests use, once per machine; needs Go"
	@echo "make clean  remove what the others made"

setup: $(STAMP)

# Bytecode is compiled here: else every first import does it, and every import where PYTHONDONTWRITEBYTECODE is set.
# The stamp is written last, so a set-up that was interrupted starts again.
$(STAMP): requirements/dev.txt requirements/uv.txt pyproject.toml
	@rm -f $(STAMP)
	@python=""; for name in python3.13 python3.12 python3.11 python3; do \
	  if $$name -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then echo "Python 3.11, 3.12 or 3.13 with venv is needed" >&2; exit 2; fi; \
	if ! $(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then rm -rf .venv; $$python -m venv .venv; fi
	@echo "installing the locked dependencies into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/dev.txt requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q service
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/veil init . --quiet
	@$(BIN)/veil run people
	@echo
	@$(BIN)/veil preview people -n 1

# Without Go the live tests of Vault say in one line what they miss; with CI=true they fail.
vault:
	@tests/servers/vault/build.sh

vault-if-go:
	@if command -v go >/dev/null && ! command -v vault >/dev/null && ! command -v bao >/dev/null; then tests/servers/vault/build.sh >/dev/null || true; fi

test: $(STAMP) vault-if-go
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

check: $(STAMP) vault-if-go
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

bench: $(STAMP)
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.treatments

docs: $(STAMP)
	@$(BIN)/python docs/generate.py

clean:
	rm -rf .venv out .mypy_cache .ruff_cache .pytest_cache .hypothesis
