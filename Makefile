# make run | test | lab | notebooks | lint | lock. Needs Python 3.11-3.13 with venv and pip, make and git.
PYTHON ?= python3
BIN := .venv/bin
SAMPLE := data/raw/sample/partners.csv

.PHONY: run test lab notebooks lint lock clean

run: .venv/installed $(SAMPLE)
	@$(BIN)/partnerseg run --params params

test: .venv/installed $(SAMPLE)
	@$(BIN)/python -m pytest --doctest-modules --nbval --numprocesses 2 --dist loadfile src tests notebooks

lab: .venv/installed $(SAMPLE)
	@$(BIN)/jupyter lab notebooks

# Store anew the outputs that the notebooks' tests compare.
notebooks: .venv/installed $(SAMPLE)
	@$(BIN)/python tests/refresh_notebooks.py

lint: .venv/installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# Resolve pyproject.toml anew; needs uv. The lock has hashes and names no host.
lock:
	uv lock --upgrade && uv export --all-groups --no-emit-project --no-header --output-file requirements.lock --quiet
	rm uv.lock
	$(BIN)/pyproject2conda yaml --name partnerseg --group dev --python-include infer --no-header --output environment.yml --overwrite force

clean:
	rm -rf .venv data/processed reports

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11-3.13 is needed, this is " + sys.version)'
	@echo "Setting up .venv (about a minute) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(SAMPLE): | .venv/installed
	@$(BIN)/partnerseg simulate data/raw/sample
