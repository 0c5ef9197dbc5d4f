# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Compare churn runs
# Every training of the churn model, newest first: what it learned from, how it did on the customers of its test date beside
# the simple baselines, and which one is the champion. The same runs are in the MLflow UI (`make mlflow`).

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import mlflow

import jobs
from jobs.lakehouse.settings import load_settings
from jobs.lakehouse.tracking import Tracking

# %% tags=["parameters"]
ENVIRONMENT, DATASET, CONF_DIR = "local", "world", None

# %%
os.chdir(Path(jobs.__file__).parents[1])  # paths in the settings begin at the top of the checkout
settings = load_settings(ENVIRONMENT, DATASET, CONF_DIR)
tracking = Tracking(settings.tracking, settings.dataset)
champion = tracking.champion("churn")
mlflow.set_tracking_uri(settings.tracking.uri)

# %% [markdown]
# ## The runs
# An interval holds the value in 95% of bootstrap samples of customers. Two runs whose intervals overlap are not told apart.

# %%
name = tracking.registered_name("churn")
runs = mlflow.search_runs(experiment_names=[name], order_by=["attributes.start_time DESC"]).set_index("run_id")
versions = {found.run_id: found.version for found in mlflow.MlflowClient().search_model_versions(f"name = '{name}'")}
runs["version"] = runs.index.map(versions)
runs["is_champion"] = runs["version"] == champion.version
measures = ["auc_model", "auc_model_low", "auc_model_high", "auc_logistic", "auc_recency", "brier"]
runs[["version", "is_champion", "tags.run_date", "params.test_date", *[f"metrics.{measure}" for measure in measures]]]

# %% [markdown]
# ## What each learned from
# Versions of tables, so that a training can be done again: `read_table(spark, path, version)`.

# %%
learned_from = [column for column in runs.columns if column.startswith(("tags.input.", "params."))]
runs[learned_from].transpose()

# %% [markdown]
# ## Model and baselines, run by run

# %%
figure, axes = plt.subplots(figsize=(8, 1 + 0.5 * len(runs)))
labels = [f"version {version}" + " (champion)" * (version == champion.version) for version in runs["version"]]
value, low, high = (runs[f"metrics.auc_model{end}"] for end in ("", "_low", "_high"))
axes.errorbar(value, labels, xerr=[value - low, high - value], fmt="o", label="model, 95% interval")
axes.plot(runs["metrics.auc_logistic"], labels, "s", label="logistic regression")
axes.plot(runs["metrics.auc_recency"], labels, "^", label="recency rule")
axes.set_xlabel("AUC on the customers of the test date")
axes.legend()
figure.tight_layout()

# %% [markdown]
# ## What the champion looks at

# %%
gains = champion.booster.get_score(importance_type="total_gain")
sorted(gains.items(), key=lambda feature: -feature[1])[:10]
