# The four commands anyone needs: serve · test · build · check. Each does its own set-up first.
# CI says audit for test: with it, minutes longer, every page and every notebook is tried.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder

.PHONY: serve test audit build check links offline compare bench update clean

serve: $(READY)  ## the bilingual site with live reload at http://127.0.0.1:8000
	$(BIN)/mkdocs serve

test: $(READY)  ## the tests, but for those that take minutes
	$(BIN)/pytest $(PARALLEL)

audit: $(READY)  ## every test: also each page in a browser, each notebook in a kernel, each snippet twice
	$(BIN)/pytest $(PARALLEL) -m ""

build: $(READY)  ## the finished static site in site/
	$(BIN)/mkdocs build --strict

check: $(READY)  ## lint, formatting, types, page parity
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/livecell check

compare: $(READY)  ## the site as ProperDocs and Zensical build it, beside MkDocs' own; takes some minutes
	$(BIN)/python compare/compare.py

links: build  ## every link of the built site, external ones in one report: site-links.txt
	$(BIN)/livecell links > site-links.txt

offline: $(READY)  ## the site as a zip that needs no server: build/autograd-by-example.zip
	OFFLINE=true $(BIN)/mkdocs build --strict --site-dir build/offline
	$(BIN)/livecell pack build/offline build/autograd-by-example.zip

bench: $(READY)  ## speed beside plain markdown-exec and plain Markdown; takes several minutes
	$(BIN)/python bench/record.py
	$(BIN)/python bench/bench.py

update: $(READY)  ## accept the snippets' present outputs as the approved ones
	$(BIN)/pytest tests/test_snippets.py --update -k approved

clean:  ## remove what was built and stored; keeps .venv
	rm -rf site .cache

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)
