"""What is spent on advertisement by channel and day, and by how much it truly lifts everybody's orders."""

from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.draws import Integers, Numbers, Stream, uniform

AD_CHANNELS = ("search", "social", "display", "video")
GREATEST_LIFTS = (0.03, 0.02, 0.005, 0.015)  # by channel, of orders, however much is spent
HALF_LIFT_SPENDS = (400.0, 500.0, 300.0, 600.0)  # by channel, the carried-over spend a day that gives half the lift
CARRIED_OVER = (0.3, 0.6, 0.5, 0.7)  # by channel, of a day's effect, what is left on the next day
DAILY_SPENDS = (300.0, 250.0, 120.0, 200.0)  # by channel, on average
WEEKS_OF_FLIGHT = 4  # a channel's budget is set anew every so many weeks
COST_PER_CLICK = (1.6, 0.9, 0.7, 1.2)
CLICKS_PER_IMPRESSION = (0.03, 0.008, 0.002, 0.006)


@lru_cache(maxsize=8)
def spend_cents(settings: WorldSettings) -> Integers:
    """What is spent by [day, channel], through the last day that the truth foresees, in cents."""
    days = np.arange(7 * (settings.weeks + settings.truth_weeks_ahead))[:, None]
    channels = np.arange(len(AD_CHANNELS))[None, :]
    flight = 0.2 + 1.6 * uniform(settings.seed, Stream.AD_SPEND, days // (7 * WEEKS_OF_FLIGHT), channels)
    jitter = 0.8 + 0.4 * uniform(settings.seed, Stream.AD_SPEND, days, len(AD_CHANNELS) + channels)
    return np.round(100 * np.array(DAILY_SPENDS) * flight * jitter).astype(np.int64)


@lru_cache(maxsize=8)
def ad_lifts(settings: WorldSettings) -> Numbers:
    """By how much of their base orders rise, by [day, channel]: carried over from day to day, and saturating."""
    spend = spend_cents(settings) / 100
    carried = np.zeros_like(spend)
    left = np.array(CARRIED_OVER)
    for day in range(len(spend)):
        before = carried[day - 1] if day else spend[0]
        carried[day] = left * before + (1 - left) * spend[day]
    return np.asarray(np.array(GREATEST_LIFTS) * carried / (carried + np.array(HALF_LIFT_SPENDS)))


def ad_spend_rows(settings: WorldSettings) -> list[dict[str, str]]:
    """One row per day of the world and channel, as the advertising account exports it the day after."""
    spend = spend_cents(settings)
    rows = []
    for day in range(7 * settings.weeks):
        on: date = settings.start_date + timedelta(days=day)
        for channel, name in enumerate(AD_CHANNELS):
            clicks = int(spend[day, channel] / 100 / COST_PER_CLICK[channel])
            rows.append(
                {
                    "date": on.isoformat(),
                    "channel": name,
                    "impressions": str(int(clicks / CLICKS_PER_IMPRESSION[channel])),
                    "clicks": str(clicks),
                    "spend": f"{spend[day, channel] / 100:.2f}",
                    "currency": settings.currency_code,
                    "exported_at": f"{(on + timedelta(days=1)).isoformat()}T01:00:00Z",
                }
            )
    return rows
