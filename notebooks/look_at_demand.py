# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Look at demand
# Weekly demand as it was, and the forecasts of the weeks to come with their 80% interval. Tables are read at the versions that
# the ledger names as good, so that a run that is writing at the moment changes nothing here.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
from pyspark.sql import functions as F

import jobs
from jobs.lakehouse.job import all_contracts
from jobs.lakehouse.ledger import RUNS, Ledger
from jobs.lakehouse.session import open_session
from jobs.lakehouse.settings import load_settings
from jobs.lakehouse.tables import Lake, read_table

# %% tags=["parameters"]
ENVIRONMENT, DATASET, CONF_DIR = "local", "world", None

# %%
os.chdir(Path(jobs.__file__).parents[1])  # paths in the settings begin at the top of the checkout
settings = load_settings(ENVIRONMENT, DATASET, CONF_DIR)
spark = open_session(settings, "look at demand")
lake = Lake(settings.path("lake"))
versions = Ledger(spark, lake, all_contracts(settings)[RUNS]).good_versions()
tables = ("gold.demand_history", "gold.demand_forecasts")
history, forecasts = (read_table(spark, lake.path(table), versions[table]) for table in tables)
{table: versions[table] for table in tables}

# %% [markdown]
# ## The last year, all products and stores

# %%
weekly = history.groupBy("week_start_date").agg(F.sum("gross_units").alias("units")).orderBy("week_start_date")
newest = forecasts.agg(F.max("as_of_date")).first()[0]
to_come = forecasts.where(F.col("as_of_date") == F.lit(newest))
expected = to_come.groupBy("week_start_date").agg(F.sum("forecast_units").alias("units")).orderBy("week_start_date")
past, future = weekly.toPandas().astype({"units": float}), expected.toPandas()
figure, axes = plt.subplots(figsize=(10, 3.5))
axes.plot(past["week_start_date"], past["units"], label="sold")
axes.plot(future["week_start_date"], future["units"], "--", label=f"forecast as of {newest}")
axes.set_ylabel("pieces a week")
axes.legend()
figure.tight_layout()

# %% [markdown]
# ## One product in one store, with its interval
# The interval is that of a single series: those of many don't add up to that of their sum.

# %%
largest = history.groupBy("product_id", "store_id").agg(F.sum("gross_units").alias("units")).orderBy(F.desc("units"))
series = largest.first()
chosen = (F.col("product_id") == series["product_id"]) & (F.col("store_id") == series["store_id"])
past = history.where(chosen).orderBy("week_start_date").toPandas().astype({"gross_units": float})
future = to_come.where(chosen).orderBy("week_start_date").toPandas()
figure, axes = plt.subplots(figsize=(10, 3.5))
axes.step(past["week_start_date"], past["gross_units"], where="mid", label="sold")
axes.plot(future["week_start_date"], future["forecast_units"], "--", label="forecast")
axes.fill_between(
    future["week_start_date"], future["lower_units"], future["upper_units"], alpha=0.2, label="80% interval"
)
axes.set_title(f"{series['product_id']} in {series['store_id']}")
axes.set_ylabel("pieces a week")
axes.legend()
figure.tight_layout()

# %%
spark.stop()
