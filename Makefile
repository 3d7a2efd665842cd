PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test check bench docs

demo: $(VENV)/installed  ## Render a sample clip and double its frame rate.
	mkdir -p demo
	$(BIN)/python examples/render_sample.py demo/sample.mp4
	$(BIN)/midframe video demo/sample.mp4 demo/sample-x2.mp4 --overwrite

test: $(VENV)/installed-dev  ## All tests.
	$(BIN)/python -m pytest -n 3

check: $(VENV)/installed-dev  ## What the continuous integration runs.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 3

docs: $(VENV)/installed-dev  ## The documentation as a site, in site/.
	$(BIN)/mkdocs build --strict

bench: $(VENV)/installed-dev  ## Speed, side by side in one run.
	$(BIN)/python benchmarks/ops.py

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -c constraints.txt .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -c constraints.txt -e ".[dev]"
	touch $@
