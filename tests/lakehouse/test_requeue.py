"""Rejected rows are tried again after a mapping has changed, and the command tells how many are still refused."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.__main__ import main
from tests.lakes import conf_with, run_job, settings_in, table


def feed(price: str) -> dict[str, Any]:
    return {
        "files": "things/*.csv",
        "arrival": "now",
        "fields": [{"name": name, "description": f"{name}."} for name in ("thing_id", "price")],
        "tables": {
            "products": {"columns": {"product_id": "thing_id", "list_price_amount": price, "currency_code": "'CNY'"}}
        },
    }


@pytest.mark.long
def test_a_mended_mapping_brings_rejected_rows_back(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data/things"
    data.mkdir(parents=True)
    (data / "one.csv").write_text('thing_id,price\na,1.50\nb,"2,50"\nc,-1\n', "utf-8")
    first = conf_with(tmp_path / "first", "shop", {"things": feed("price")})
    mended = conf_with(tmp_path / "mended", "shop", {"things": feed("replace(price, ',', '.')")})
    settings = settings_in(tmp_path, "shop", first)
    for job in ("ingest.load_files", "ingest.clean_products"):
        run_job(spark, settings, job)
    assert [row["product_id"] for row in table(spark, settings, "silver.products").collect()] == ["a"]

    where = [
        "--dataset",
        "shop",
        "--conf-dir",
        str(mended),
        "--lake",
        settings.path("lake"),
        "--data",
        str(data.parent),
    ]
    assert main(["requeue", "silver.products", *where]) == 0
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["list_price_amount_unreadable", "1", "->", "0"] in told
    assert ["list_price_not_negative", "1", "->", "1"] in told
    assert ["silver.products:", "2", "refused", "before,", "1", "now"] in told
    prices = {
        row["product_id"]: str(row["list_price_amount"]) for row in table(spark, settings, "silver.products").collect()
    }
    assert prices == {"a": "1.5000", "b": "2.5000"}


def test_a_table_that_no_job_writes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requeue", "gold.nothing"]) == 2
    assert "no job writes gold.nothing" in capsys.readouterr().err
