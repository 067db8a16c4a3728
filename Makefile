# Everything is installed by the command that needs it, once, into .venv.
VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= python3
CLASS  ?= classroom/demo
WORKFLOWS := $(wildcard .github/workflows/*.yml docs/deploy/classroom/github/*.yml)
PIPELINES := .gitlab-ci.yml $(wildcard docs/deploy/classroom/gitlab/*.yml)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help sandbox postgres chromium demo run test test-gpu check format notebooks figures pictures site lab validate bench-judge bench-conv bench-throughput bench-report bench-faults bench-scale constraints clean

help:  ## list what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-17s %s\n", $$1, $$2}'

$(VENV)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once; some minutes)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@$(PIP) --editable '.[dev]'
	@touch $@

sandbox:  # what isolates submissions; only root on Debian or Ubuntu gets it without asking
	@command -v bwrap >/dev/null \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	       && { apt-get install -y -qq bubblewrap || { apt-get update -qq && apt-get install -y -qq bubblewrap; }; } >/dev/null 2>&1; } \
	  || echo "bubblewrap is missing: submissions cannot be isolated (see: grader doctor)"

postgres:  # a server for the tests, which start it themselves; without one they skip
	@test -n "$$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" || command -v initdb >/dev/null \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	       && { apt-get install -y -qq postgresql || { apt-get update -qq && apt-get install -y -qq postgresql; }; } >/dev/null 2>&1; } \
	  || echo "PostgreSQL is missing: the tests on it will be skipped"

chromium:  # a browser for the tests; without one they skip
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	  || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	       && { apt-get install -y -qq chromium || { apt-get update -qq && apt-get install -y -qq chromium; }; } >/dev/null 2>&1; } \
	  || echo "Chromium is missing: the tests in a browser will be skipped"

demo: sandbox $(VENV)/.base  ## make a class of students, grade it, report on it (UNITS="01-neurons ...")
	$(BIN)/grader demo $(or $(UNITS),02-convolution) --class $(CLASS)

run: $(VENV)/.base  ## execute lessons with their solutions (UNITS="01-neurons ..." RUN="--profile full")
	$(BIN)/grader run $(UNITS) $(RUN)

lab: $(VENV)/.base  ## take the lessons in JupyterLab; it opens on the units
	$(BIN)/jupyter lab --notebook-dir=notebooks

test: sandbox postgres chromium check  ## check, and run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 15

test-gpu: sandbox $(VENV)/.dev  ## run the tests that need a GPU
	$(BIN)/python -m pytest -m gpu

check: $(VENV)/.dev  ## lint, formatting, types, workflows, and notebooks/ up to date
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/check-jsonschema --quiet --builtin-schema custom.github-workflows-require-timeout $(WORKFLOWS)
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci $(PIPELINES)
	$(BIN)/zizmor --offline --quiet .github $(WORKFLOWS)
	$(BIN)/grader build --check

format: $(VENV)/.dev  ## put the formatting right
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

validate: sandbox $(VENV)/.base  ## how good are the course's tests? (UNITS="01-neurons ...")
	$(BIN)/grader validate $(UNITS)

notebooks: $(VENV)/.base  ## build notebooks/ from solutions/
	$(BIN)/grader build

site: $(VENV)/.base  ## make the course's static site, build/site (executes all lessons)
	@$(PIP) --editable '.[site]'
	$(BIN)/grader run --artifacts build/executed
	$(BIN)/grader site

figures: $(VENV)/.base  ## draw the expected figures anew
	$(BIN)/grader figures
	$(BIN)/grader build

pictures: chromium $(VENV)/.dev  ## take the pictures in docs/ anew
	$(BIN)/python -m pytest -q tests/test_lab.py tests/test_formgrader.py tests/test_demo.py --pictures docs/pictures

bench-judge: sandbox $(VENV)/.base  ## what it costs that tests run in a process of their own
	$(BIN)/python bench/judge.py

bench-conv: $(VENV)/.dev  ## the course's NumPy layers beside torch's, on this CPU
	$(BIN)/python bench/conv.py $(BENCH)

bench-faults: sandbox $(VENV)/.base  ## kill the grader twenty times, and compare; then 5,000 submissions
	$(BIN)/python bench/faults.py $(BENCH)
	$(BIN)/python bench/scale.py many

bench-scale: sandbox $(VENV)/.base  ## submissions a second by workers, and what one coordinator can feed
	$(BIN)/python bench/scale.py workers
	$(BIN)/python bench/scale.py coordinator

bench-report: $(VENV)/.base  ## what the class report finds, and how long it takes for 300 (CLASS=a demo class)
	$(BIN)/python bench/report.py similar
	$(BIN)/python bench/report.py class $(CLASS) 50 300

bench-throughput: sandbox $(VENV)/.base  ## a class graded by nbgrader and by us, side by side
	$(BIN)/python bench/throughput.py $(BENCH)

constraints: $(VENV)/.dev  ## renew constraints.txt from what is installed
	@{ echo "# The exact versions that make and CI install; pyproject.toml keeps the ranges."; \
	   echo "# Renewed by: make constraints"; \
	   $(BIN)/python -m pip freeze --exclude-editable | grep -v -i '^\(pip\|setuptools\)=' | sed 's/+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt

clean:  ## remove the demo class and caches; .venv stays
	rm -rf classroom/demo build .pytest_cache .mypy_cache .ruff_cache .hypothesis .grader_cache
