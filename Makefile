# One door for people and for CI. `make` alone lists the targets; bin/setup.sh holds everything longer than a few lines.

SHELL         := /bin/bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help

ENVIRONMENT ?= local
MINUTES     ?= 10
WHOLE       ?=

# Libraries write caches to $HOME: without a usable one they get a folder of the checkout.
ifeq ($(shell [ -d "$${HOME:-}" ] && [ -w "$${HOME:-}" ] && echo usable),)
export HOME := $(CURDIR)/.cache/home
endif

# Read when a recipe runs, not when make starts: set-up writes the file.
with_java   = JAVA_HOME="$$(cat .setup/java_home)"
python      = $(with_java) .venv/bin/python
spark_home  = $$(.venv/bin/python -c 'import pyspark; print(*pyspark.__path__)')

.PHONY: help setup run test test-long test-soak test-sets check chaos mlflow thrift kafka postgres docs wheel lock clean clean-all

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: virtual environment, Java, jars, local key
	@bin/setup.sh

run: setup ## set up, then run every job on the embedded default (ENVIRONMENT=local)
	@$(python) -m jobs run --all --env $(ENVIRONMENT)

test: setup ## set up, then run the tests
	@$(python) -m pytest

test-long: setup ## the longer tests: killed runs, a cluster, Kafka, PostgreSQL, tiers, full disks, deliveries in any order; most of an hour
	@$(python) -m pytest -m "long and not soak"

test-soak: setup ## the longest of the longer tests: rotation of the key, kills of loads by wire, the world by wire, many days of identity, a scan of all that a whole chain leaves; half an hour
	@$(python) -m pytest -m soak

test-sets: setup ## the tests of the real data sets, the big ones cut; every file whole with WHOLE=1 (half an hour and more)
	@LAKEHOUSE_WHOLE_SETS=$(WHOLE) $(python) -m pytest -m sets --timeout=3600

check: setup ## lint, format, types, layers, and that the generated docs are fresh
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy
	@.venv/bin/lint-imports
	@$(python) -m jobs docs --check

chaos: setup ## kill jobs at random moments for MINUTES (10) and compare with an undisturbed run
	@$(python) -m pytest tests/faults/chaos.py --minutes $(MINUTES)

mlflow: setup ## MLflow UI over the local runs, http://127.0.0.1:5000
	@mkdir -p mlflow/artifacts
	@echo "MLflow UI: http://127.0.0.1:5000 (Ctrl-C ends it)"
	@MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	  .venv/bin/python -m mlflow ui --host 127.0.0.1 --port 5000 --workers 1 \
	  --backend-store-uri sqlite:///mlflow/mlflow.db --default-artifact-root mlflow/artifacts

thrift: setup ## SQL over the tables for BI tools on 127.0.0.1:10000, in the foreground
	@$(python) -m jobs register
	@echo "When it is up (about 30 s; Ctrl-C ends it):"
	@echo "  $(with_java) $(spark_home)/bin/beeline -u jdbc:hive2://127.0.0.1:10000 -e 'SHOW TABLES IN gold'"
	@$(with_java) $(spark_home)/bin/spark-submit --properties-file conf/thrift.conf \
	  --class org.apache.spark.sql.hive.thriftserver.HiveThriftServer2 spark-internal

kafka: setup ## a Kafka broker on 127.0.0.1:9092, in the foreground; data below .cache/servers
	@bin/servers.sh kafka run

postgres: setup ## a PostgreSQL server on 127.0.0.1:5432, in the foreground; data below .cache/servers
	@bin/servers.sh postgres run

docs: setup ## write the generated pages: data dictionary, job table, picture
	@$(python) -m jobs docs

wheel: setup ## build dist/*.whl, for spark-submit --py-files
	@rm -rf build dist
	@.venv/bin/python -m build --wheel --no-isolation . > /dev/null
	@ls dist/*.whl

lock: setup ## resolve setup.py anew into requirements.lock, with hashes
	@.venv/bin/python -m pip install -q uv
	@.venv/bin/python -m uv pip compile setup.py --extra dev --generate-hashes --universal \
	  --python-version 3.11 -o requirements.lock > /dev/null

clean: ## remove what was built; lake, models and key stay
	@rm -rf .venv .setup .cache jars build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .hypothesis .import_linter_cache spark-warehouse metastore_db derby.log
	@find jobs tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean ## clean, and remove the lake, the raw files and the models too (the key stays)
	@rm -rf lake data mlflow
