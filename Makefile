# make demo and make test do everything from a fresh clone; `make` alone lists the targets.
#
# What is done is remembered in stamp files under .venv/stamps, so a second run installs nothing.  The stamp of the
# environment carries its Python's version (py311): asking for another PYTHON rebuilds .venv, asking for none keeps it.

PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
EXTRA ?=

PYTAG := $(shell "$(PYTHON)" -c 'import sys; print("py%d%d" % sys.version_info[:2])' 2>/dev/null)
PINS := requirements/$(if $(filter py311,$(PYTAG)),py311,py312).txt
ENVIRONMENT := .venv/stamps/$(or $(PYTAG),python)
INSTALLED := .venv/stamps/installed
PIP := .venv/bin/python -m pip --disable-pip-version-check -q

# glibc hands large buffers back to the kernel and faults them in again; this keeps them (other systems ignore it).
export_malloc = GLIBC_TUNABLES="$${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:glibc.malloc.trim_threshold=17179869184}"; export GLIBC_TUNABLES

.DELETE_ON_ERROR:
.PHONY: help setup demo curriculum adapters test test-aot test-gpu lint clean

help:
	@echo 'make demo    set up, then train SmolLM2-135M on clinical rubrics in runs/demo (goes on where it stopped)'
	@echo 'make curriculum  set up, then all five stages at their cpu presets, and what each adds, in runs/curriculum (hours)'
	@echo 'make adapters  set up, then retrain the gate and the adapters of the grader and of the patient that the package ships (five hours)'
	@echo 'make test    set up, then run the tests'
	@echo 'make test-aot  those that ask the TPU compiler, on any machine (installs EXTRA=tpu; at most 25 minutes)'
	@echo 'make test-gpu  those that need an NVIDIA GPU (installs EXTRA=cuda)'
	@echo 'make setup   make .venv, install the pinned packages and m2jax, fetch the default model'
	@echo '               PYTHON=python3.12   the Python to use, 3.11 or newer (default: that of .venv, else python3)'
	@echo '               EXTRA=tpu           also install for a device: tpu or cuda; or tfds for TensorFlow Datasets'
	@echo 'make lint    check style and format with ruff'
	@echo 'make clean   remove .venv and every cache; runs/ and the fetched model stay'

setup: $(INSTALLED) $(if $(EXTRA),.venv/stamps/extra-$(EXTRA))
	@.venv/bin/python -m m2jax.weights smollm2-135m-instruct

demo: setup
	@$(export_malloc); .venv/bin/python launch/train.py --config=configs/rl_stage2.py --workdir=runs/demo
	@ls "$(CURDIR)/runs/demo/report.html"

curriculum: setup
	@$(export_malloc); .venv/bin/python launch/curriculum.py

# A run that was stopped goes on; to train anew, remove runs/adapters (and runs/demo, whose replies the grader reads).
adapters: setup
	@$(export_malloc); set -e; \
	train() { .venv/bin/python launch/train.py --config="$$1" --workdir="runs/adapters/$$2"; \
		.venv/bin/python launch/adapter.py --run="runs/adapters/$$2" --name="$$2" --n=60; }; \
	.venv/bin/python launch/gate.py; \
	.venv/bin/python launch/train.py --config=configs/grader_sft.py:writer --workdir=runs/adapters/writer; \
	.venv/bin/python launch/train.py --config=configs/rl_stage2.py --workdir=runs/demo; \
	rm -rf runs/demo/model; .venv/bin/python launch/export.py --run=runs/demo --out=runs/demo/model; \
	.venv/bin/python launch/replies.py --out=m2jax/data/replies.jsonl --run=runs/adapters/writer \
		--policy=smollm2-135m-instruct --policy=runs/demo/model; \
	train configs/grader_sft.py grader; \
	train configs/patient_sft.py:affective affective; \
	train configs/patient_sft.py:factual factual; \
	train configs/patient_sft.py:gate gate

# tests/conftest.py gives the workers one compilation cache, in .cache/jax.
test: setup
	@$(export_malloc); \
	.venv/bin/python -m pytest -n 2 --dist worksteal -m "not slow and not aot and not gpu"

# One compilation at a time, and it yields to everything else on the machine.
test-aot: setup .venv/stamps/extra-tpu
	@$(export_malloc); \
	timeout 1500 nice -n 19 .venv/bin/python -m pytest -m aot --durations=0

test-gpu: setup .venv/stamps/extra-cuda
	@M2JAX_TEST_PLATFORM=cuda,cpu .venv/bin/python -m pytest -m gpu

lint: $(INSTALLED)
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .

clean:
	rm -rf .venv .cache build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment itself.  Rebuilt from nothing, unless it is .venv's own Python that completes it.
ifeq ($(wildcard .venv/bin/python),)
.PHONY: $(ENVIRONMENT)
endif
$(ENVIRONMENT):
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "m2jax needs Python 3.11 or newer, and PYTHON=$(PYTHON) is" \
			"$$("$(PYTHON)" -V 2>/dev/null || echo 'not a Python that runs')." >&2; \
		echo "Name another one: make setup PYTHON=python3.12" >&2; exit 1; }
	@echo "m2jax: making .venv with $$("$(PYTHON)" -V)"
	@"$(PYTHON)" -m venv $(if $(filter .venv/bin/python,$(PYTHON)),,--clear) .venv
	@mkdir -p .venv/stamps
	@rm -f .venv/stamps/*
	@touch $@

$(INSTALLED): $(ENVIRONMENT) $(PINS) setup.py
	@echo "m2jax: installing the known-good set $(PINS) (a minute or two, and the download)"
	@$(PIP) install -r $(PINS) || { \
		echo "The set $(PINS) does not install on $$(.venv/bin/python -V): see pip's words above." \
			"It is known to on Python 3.11 and 3.12: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PIP) install --no-build-isolation -c $(PINS) -e '.[dev]'
	@touch $@

.venv/stamps/extra-%: $(INSTALLED)
	@case "$*" in tpu|cuda|tfds) ;; *) echo "EXTRA=$* is unknown: tpu, cuda or tfds" >&2; exit 1;; esac
	@echo "m2jax: installing what EXTRA=$* needs"
	@$(PIP) install --no-build-isolation -c $(PINS) -e '.[$*]'
	@touch $@
