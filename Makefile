# One command for each job; every target makes its own set-up in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST_FLAGS ?= -n 2 --dist loadfile

.PHONY: demo test lint format lock notebooks clean

demo: $(READY)
	$(BIN)/keras-rbcn demo

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

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
