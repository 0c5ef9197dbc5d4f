"""Draw docs/world.png: the simulated world beside real shops, and what is wrong with it on purpose.

python docs/draw_world.py FOLDER_WITH_REAL_SETS
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.ads import ad_lifts
from jobs.simulate.bots import bot_batch
from jobs.simulate.events import event_batch
from jobs.simulate.funnel import CAUSES, NODES, drop_off_batch
from jobs.simulate.opinions import SURVEY_KINDS, survey_batch
from jobs.simulate.orders import order_lines, orders
from jobs.simulate.people import people
from jobs.simulate.sales import sale_batch
from jobs.simulate.seasons import season_factors
from jobs.simulate.texts import EVENT_NAMES
from jobs.simulate.visits import COMPLETED

mpl.use("Agg")
import matplotlib.pyplot as plt

SETTINGS = WorldSettings(customers=8000)
PERSONS = np.arange(SETTINGS.customers)
OURS, THEIRS, BAD = "#1f6f8b", "#999999", "#c8553d"


def order_days(customer: pd.Series, day: pd.Series) -> pd.DataFrame:
    """One row per customer and order day."""
    return pd.DataFrame({"customer": customer, "day": day}).drop_duplicates().sort_values(["customer", "day"])


def gaps(days: pd.DataFrame) -> pd.Series:
    """Days between the order days of a customer, as a share of their mean."""
    found = days.groupby("customer")["day"].diff().dt.days.dropna()
    return found / found.mean()


def recency(days: pd.DataFrame) -> pd.Series:
    """Days since each customer's last order, as a share of the days covered."""
    last = days.groupby("customer")["day"].max()
    return (days["day"].max() - last).dt.days / (days["day"].max() - days["day"].min()).days


def real_orders(folder: Path) -> tuple[pd.DataFrame, pd.Series]:
    """The order days of Online Retail, and the hours of Olist's orders."""
    lines = pd.read_csv(folder / "online-retail/online_retail.csv.gz").query("Quantity > 0").dropna(subset="CustomerID")
    days = order_days(lines["CustomerID"], pd.to_datetime(lines["InvoiceDate"]).dt.normalize())
    placed = pd.read_csv(folder / "olist/olist_orders_dataset.csv.gz")["order_purchase_timestamp"]
    return days, pd.to_datetime(placed).dt.hour


def draw_marginals(axes: list, folder: Path) -> None:
    """Days between orders, recency and hours, beside those of real shops."""
    crowd = people(SETTINGS, PERSONS)
    placed = orders(SETTINGS, crowd)
    days = order_days(
        pd.Series(placed.owner), pd.Timestamp(SETTINGS.start_date) + pd.to_timedelta(pd.Series(placed.day), unit="D")
    )
    real_days, real_hours = real_orders(folder)
    for axis, title, measured, bins in (
        (axes[0], "Days between orders / their mean", gaps, np.linspace(0, 5, 41)),
        (axes[1], "Recency / days covered", recency, np.linspace(0, 1, 41)),
    ):
        axis.hist(measured(real_days), bins, density=True, color=THEIRS, alpha=0.6, label="Online Retail")
        axis.hist(measured(days), bins, density=True, histtype="step", color=OURS, lw=2, label="the world")
        axis.set_title(title)
    axes[2].hist(real_hours, np.arange(25), density=True, color=THEIRS, alpha=0.6, label="Olist")
    hours = (placed.second // 3600)[placed.is_online]
    axes[2].hist(hours, np.arange(25), density=True, histtype="step", color=OURS, lw=2, label="the world")
    axes[2].set_title("Online orders by hour of the day")
    for axis in axes:
        axis.legend(frameon=False)


def draw_baskets(axis: plt.Axes, folder: Path) -> None:
    """How many orders have so many pieces or more, beside a real shop's."""
    placed = orders(SETTINGS, people(SETTINGS, PERSONS))
    sold = order_lines(SETTINGS, placed)
    names = ["customer", "day", "pieces", "amount"]
    real = pd.read_csv(folder / "cdnow/CDNOW_master.txt.gz", sep=r"\s+", skiprows=1, names=names)["pieces"]
    ours = pd.Series(np.bincount(sold.order, weights=sold.quantity))
    for pieces, label, color in ((real, "CDNOW", THEIRS), (ours, "the world", OURS)):
        shares = pieces.value_counts(normalize=True).sort_index(ascending=False).cumsum()
        axis.step(shares.index, shares, color=color, lw=2, label=label)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_title("Orders of so many pieces or more")
    axis.legend(frameon=False)


def draw_drop_offs(axis: plt.Axes) -> None:
    """At which step the visits without an order end, and why."""
    ended = pd.DataFrame(dict(drop_off_batch(SETTINGS, PERSONS)))
    steps = [EVENT_NAMES[node] for node in NODES]
    counts = ended.groupby(["node", "cause"]).size().unstack(fill_value=0).reindex(list(NODES))
    left = np.zeros(len(steps))
    for cause, name in enumerate(CAUSES):
        held = counts[cause].to_numpy() / len(ended)
        axis.barh([step.replace(" ", "\n") for step in steps], held, left=left, label=name)
        left = left + held
    axis.invert_yaxis()
    axis.set_title("Where visits without an order end, and why")
    axis.legend(frameon=False)


def draw_season(axis: plt.Axes) -> None:
    """The season that all share, and what advertisement adds to it."""
    days = pd.date_range(SETTINGS.start_date, periods=7 * SETTINGS.weeks)
    axis.plot(days, season_factors(SETTINGS)[: len(days)], color=OURS, lw=0.8, label="season factor")
    axis.plot(days, 1 + ad_lifts(SETTINGS).sum(axis=1)[: len(days)], color=BAD, lw=1.2, label="1 + lift of ads")
    axis.set_title("The season, with feasts and sales days")
    axis.tick_params(axis="x", rotation=30)
    axis.legend(frameon=False)


def draw_bots(axis: plt.Axes) -> None:
    """How fast one event of a device follows the other: persons, repeated clicks, bots."""
    happened = pd.DataFrame(dict(event_batch(SETTINGS, PERSONS)))
    seen = happened[happened["name"] <= COMPLETED].sort_values(["device", "happened_at"])
    gap = seen.groupby("device")["happened_at"].diff().dt.total_seconds()
    sold = pd.DataFrame(dict(sale_batch(True, SETTINGS, PERSONS)))
    of_rings = seen["account"].isin(sold["account"][sold["ring"] >= 0])
    is_bot = seen["device"].isin(bot_batch(SETTINGS, PERSONS)["device"])
    bins = np.logspace(-2, 7, 60)
    for rows, label, color in (
        (~is_bot & (seen["repeats"] == 0) & ~of_rings, "persons", OURS),
        (seen["repeats"] != 0, "repeated clicks", THEIRS),
        (is_bot, "bots", BAD),
    ):
        axis.hist(gap[rows].dropna(), bins, histtype="step", lw=1.6, label=label, color=color)
    axis.set_xscale("log")
    axis.set_title("Seconds between two events of a device")
    axis.legend(frameon=False)


def draw_answers(axis: plt.Axes) -> None:
    """What those think who answer a survey, beside all who were asked."""
    asked = pd.DataFrame(dict(survey_batch(SETTINGS, PERSONS)))
    nps = asked[asked["kind"] == SURVEY_KINDS.index("nps")]
    scores = np.arange(12) - 0.5
    axis.hist(nps["score"], scores, density=True, color=THEIRS, alpha=0.6, label="all who were asked")
    axis.hist(
        nps["score"][nps["is_answered"]], scores, density=True, histtype="step", color=OURS, lw=2, label="answers"
    )
    axis.set_title("NPS: who answers is not who was asked")
    axis.legend(frameon=False)


def main() -> None:
    """Draw all panels into one picture."""
    folder = Path(sys.argv[1])
    figure, axes = plt.subplots(2, 4, figsize=(17, 7), layout="constrained")
    draw_marginals(list(axes[0][:3]), folder)
    draw_baskets(axes[0][3], folder)
    draw_season(axes[1][0])
    draw_bots(axes[1][1])
    draw_drop_offs(axes[1][2])
    draw_answers(axes[1][3])
    for axis in axes.ravel():
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(__file__).with_name("world.png"), dpi=80)


if __name__ == "__main__":
    main()
