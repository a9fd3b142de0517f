# Two commands do everything on a fresh machine: `make run` and `make test`. Each makes or refreshes .venv itself.
PYTHON ?= python3
VENV := .venv
PORT ?= 8501
# parallel test processes, at most eight; 0: none
TESTERS ?= logical
BIN := $(VENV)/bin

.PHONY: run test check lint types fast docs bench clean

run: $(VENV)/run.stamp
	@echo "Molsway is at http://127.0.0.1:$(PORT) (stop it with Ctrl-C)"
	@$(BIN)/streamlit run app.py --server.port $(PORT)

test: $(VENV)/test.stamp
	@$(BIN)/python -m pytest -n $(TESTERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

# before every commit; `fast` are the test files that need neither torch nor a browser, read from their imports
check: lint types fast

lint: $(VENV)/test.stamp
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	@$(BIN)/mypy

fast: $(VENV)/test.stamp
	@$(BIN)/python -m pytest --fast -n $(TESTERS) --maxprocesses 8 --dist loadfile $(ARGS)

docs: $(VENV)/run.stamp
	@$(BIN)/python -m core.cli.docs

bench: $(VENV)/run.stamp
	@$(BIN)/python -m core bench $(ARGS)

$(VENV)/bin/python:
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Molsway needs Python 3.11 or newer, this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV)

# torch first, so that no other package installs another build of it
$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	@echo "installing requirements.txt (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' requirements.txt)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/test.stamp: requirements-test.txt $(VENV)/run.stamp
	@echo "installing requirements-test.txt"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	@touch $@

clean:
	rm -rf $(VENV)
