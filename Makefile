# Two commands do everything: make demo, make test. Others are for those who work on the program.

PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
INSTALL := $(UV) pip install --quiet --python $(VENV)/bin/python

# Tests start many processes: what Python has compiled is kept for them, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE
# Each of two processes has one thread: more of them wait for each other in a loop, which takes half of the processor.
test proofs: export OMP_NUM_THREADS = 1

.PHONY: help demo test proofs lint format lock clean

help:  ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/run  ## Set up, simulate a plant, train, replay two weeks of nights, say where the newest list is
	$(VENV)/bin/qma --home demo-home demo

test: lint $(VENV)/dev  ## Set up, and run all checks and tests
	$(VENV)/bin/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

proofs: $(VENV)/dev  ## Run the long proofs: full-size plant, stopped processes
	$(VENV)/bin/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m proof

lint: $(VENV)/dev  ## Check style, types and imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/dev  ## Write the code in the project's form
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

lock: $(VENV)/uv  ## Compile the lock anew from pyproject.toml
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet --upgrade --output-file requirements.lock

clean:  ## Remove the environment and what the demo made
	rm -rf $(VENV) demo-home .mypy_cache .pytest_cache .ruff_cache *.egg-info

# uv itself comes from the lock too, with its hashes
$(VENV)/uv: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	awk '/^uv==/,/[^\\]$$/' requirements.lock > $(VENV)/uv.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $(VENV)/uv.txt
	touch $@

$(VENV)/run: $(VENV)/uv pyproject.toml
	$(INSTALL) --require-hashes --constraint requirements.lock --requirement pyproject.toml
	$(INSTALL) --no-deps --editable .
	touch $@

$(VENV)/dev: $(VENV)/run
	$(INSTALL) --require-hashes --constraint requirements.lock --group dev
	touch $@
