# One command for each job; every target makes its own set-up in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# In the order of the files: the longest test would else be the last one.
PYTEST_FLAGS ?= -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test fuzz lint format lock evidence evidence-runs evidence-short notebooks clean

demo: $(READY)
	$(BIN)/keras-rbcn demo

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

# Other random networks each time; what failed is tried first the next time.
FUZZ_CASES ?= 300
fuzz: $(READY)
	KERAS_RBCN_FUZZ_CASES=$(FUZZ_CASES) $(BIN)/python -m pytest $(PYTEST_FLAGS) \
	  tests/export/test_fuzz_lce.py tests/export/test_fuzz_litert.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# requirements.txt: the complete lock, for every supported Python, from setup.py's
# ranges and extras.
lock: $(READY)
	UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile setup.py --all-extras --universal --python-version 3.10 \
	  --upgrade --no-emit-index-url --custom-compile-command "make lock" \
	  --output-file requirements.txt

# The whole study takes days on one core, and goes on where it was stopped; a second core
# is used by `make evidence-runs` beside it. What is committed is not run again, but in
# another folder: `make evidence AGAIN=folder`. The short one takes 10 minutes.
STUDY := $(BIN)/python benchmarks/accuracy/study.py
ifdef AGAIN
RESULTS := $(AGAIN)/results
WORK := $(AGAIN)/work
DOCUMENT := $(AGAIN)/evidence.md
else
RESULTS := benchmarks/results/accuracy
WORK := benchmarks/accuracy/work
DOCUMENT := docs/evidence.md
endif
SHORT := benchmarks/accuracy/work/short
evidence-runs: $(READY)
	$(STUDY) --repeat --results $(RESULTS) --work $(WORK)
	$(STUDY) --size small --best-rate --results $(RESULTS) --work $(WORK)
	$(STUDY) --size large --best-rate --results $(RESULTS) --work $(WORK)

evidence: evidence-runs
	for size in small large; do \
	  { [ -e $(RESULTS)/epoch_time-$$size.json ] || \
	    $(BIN)/python benchmarks/accuracy/epoch_time.py --size $$size --results $(RESULTS); } && \
	  $(BIN)/python benchmarks/accuracy/last_step.py --size $$size --results $(RESULTS) || exit; \
	done
	$(BIN)/python benchmarks/accuracy/report.py --results $(RESULTS) --document $(DOCUMENT)

evidence-short: $(READY)
	$(STUDY) --size digits --teachers --rates 1e-2 --results $(SHORT) --work $(SHORT)
	$(STUDY) --size digits --seeds 0 --rates 1e-2 --results $(SHORT) --work $(SHORT)
	$(BIN)/python benchmarks/accuracy/report.py --results $(SHORT) --document $(SHORT)/evidence.md

notebooks: $(READY)
	$(BIN)/python notebooks/execute.py

$(READY): requirements.txt setup.py
	$(PYTHON) -c 'import sys; ok = (3, 10) <= sys.version_info < (3, 13); \
	  sys.exit(None if ok else "keras_rbcn needs Python 3.10, 3.11 or 3.12; $(PYTHON) is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
