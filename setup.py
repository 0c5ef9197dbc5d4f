"""Packaging of the customer lakehouse: one pure Python wheel that spark-submit takes by --py-files."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^VERSION = "(.+)"$', (HERE / "jobs/lakehouse/version.py").read_text(encoding="utf-8"), re.MULTILINE
)
assert VERSION is not None

RUNTIME = [
    "pyspark==4.1.3",
    "delta-spark==4.4.0",
    "graphframes-py==0.9.3",
    "xgboost-cpu==3.2.0",
    "mlflow==3.17.2",
    "great-expectations==1.24.1",
    "pandas==2.3.3",
    "pyarrow==25.0.1",
    "numpy==2.4.6",
    "scikit-learn==1.9.1",
    "importlib_metadata==8.7.1",
    "cryptography==50.0.2",
    "duckdb==2.0.0",
    "matplotlib==3.11.2",
    "open-data-contract-standard==3.2.0",
    "phonenumbers==9.0.43",
    "psutil==7.2.2",
    "pydantic-settings==2.16.3",
    "pypinyin==0.55.0",
    "pyyaml==6.0.3",
    "rich==15.0.0",
    "scipy==1.17.1",
    "splink==5.0.0",
]

DEVELOPMENT = [
    "build==1.6.1",
    "setuptools==84.2.1",
    "deltalake==1.6.6",
    "hypothesis==6.170.15",
    "import-linter==2.16",
    "ipykernel==7.4.0",
    "mypy==2.4.1",
    "nbclient==0.11.0",
    "jupytext==1.19.6",
    "networkx==3.6.1",
    "pandas-stubs==3.1.0.261029",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "ruff==0.17.6",
    "types-psutil==7.2.2.20261111",
    "types-PyYAML==6.0.12.20261113",
]

setup(
    name="customer-lakehouse",
    version=VERSION[1],
    description="Customer analytics and demand forecasting for retailers, as Spark jobs over Delta Lake.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=[*find_packages(include=["jobs", "jobs.*"]), "jobs.conf"],
    package_dir={"jobs.conf": "conf"},  # conf/ lies at the top of a checkout and inside the package in a wheel
    package_data={"jobs.conf": ["**/*.yaml"]},
    install_requires=RUNTIME,
    extras_require={"dev": DEVELOPMENT},
)
