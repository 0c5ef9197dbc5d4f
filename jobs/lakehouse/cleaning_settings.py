"""When a row of silver bears a mark: the limits of the rules, one section of the settings."""

from __future__ import annotations

from pydantic import Field

from jobs.lakehouse.part import Part

# How much each sign says for itself; see jobs/ingest/bots.py.
BOT_WEIGHTS = {
    "declared_agent": 0.99,
    "event_rate": 0.95,
    "fast_products": 0.95,
    "round_the_clock": 0.7,
    "busy_day": 0.6,
    "purchase_without_view": 0.5,
    "network_hops": 0.9,
    "looks_alone": 0.9,
}


class CleaningSettings(Part):
    """When a row bears a mark; a number that reads as a limit is reached, not passed, by what is marked."""

    repeated_click_ms: int = Field(1000, ge=1)
    # Of an agent, any of these, whatever the case; CUBOT is a phone.
    bot_agents: tuple[str, ...] = (
        "(?<!cu)bot\\b", "crawl", "spider", "slurp", "scrap[ey]", "headless", "phantomjs", "python", "curl/", "wget/",
        "httpclient", "okhttp/\\d+$", "go-http", "^java/",
    )  # fmt: skip
    purchase_events: tuple[str, ...] = ("Order Completed",)
    bot_events_per_minute: int = Field(40, ge=2)
    bot_fast_products: int = Field(20, ge=2, description="different products one after the other, in so many seconds")
    bot_fast_seconds: int = Field(10, ge=1)
    bot_active_hours: int = Field(20, ge=2, le=24, description="hours of one day with an event")
    bot_busy_day_events: int = Field(300, ge=2, description="fewest events of a busy day")
    robust_z: float = Field(7.0, gt=0, description="robust spreads above the median, on the scale of logarithms")
    least_log_spread: float = Field(0.3, gt=0, description="what the spread is taken for where all values are alike")
    least_sample: int = Field(20, ge=2, description="rows below which nothing is called unusual")
    bot_network_hops: int = Field(5, ge=1, description="changes of network on one day in the midst of doing something")
    bot_hop_minutes: int = Field(10, ge=1, description="between two events that are still one doing")
    bot_looks_alone: int = Field(
        200, ge=2, description="products looked at by a device that never did anything else, where others do"
    )
    bot_weights: dict[str, float] = Field(BOT_WEIGHTS)
    bot_confidence: float = Field(0.9, gt=0, le=1)
    browse_hours: int = Field(24, ge=1, description="how long before a purchase a view still counts as looking first")
    ring_days: int = Field(30, ge=1)
    ring_accounts: int = Field(5, ge=2)
    ring_orders: int = Field(8, ge=2)
    ring_same_product_share: float = Field(0.3, gt=0, le=1, description="chance that two lines are of one product")
    ring_unbrowsed_share: float = Field(0.7, gt=0, le=1)
    ring_returned_share: float = Field(0.3, gt=0, le=1)
    ring_bound_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="orders of accounts that share two kinds of things; these need two of the next three",
    )
    ring_bound_same_product_share: float = Field(0.15, gt=0, le=1, description="pairs of lines that are of one product")
    ring_bound_unbrowsed_share: float = Field(0.25, gt=0, le=1)
    ring_bound_returned_share: float = Field(0.12, gt=0, le=1)
    public_accounts: int = Field(
        200, ge=2, description="accounts above which a device, address or payer is a public one"
    )
    abnormal_return_multiple: float = Field(3.0, gt=1, description="times the share that is ordinary")
    abnormal_return_lines: int = Field(6, ge=1, description="fewest lines sold")
    abnormal_return_prior_lines: float = Field(4.0, ge=0, description="ordinary lines that every account starts with")
    abnormal_return_z: float = Field(2.33, gt=0)
    near_duplicate_minutes: int = Field(10, ge=1)
