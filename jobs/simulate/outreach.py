"""Campaigns and whom they address: a held-out part by chance, and the orders that a message truly brings about."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.consents import PURPOSES, granted_on
from jobs.simulate.draws import Flags, Integers, Numbers, Stream, chosen, uniform, weighted_choice
from jobs.simulate.people import People
from jobs.simulate.seasons import DAYS_OF_A_WEEK
from jobs.simulate.tastes import tastes

WEEKS_BETWEEN = 2
WORKING_DAYS = 6  # the days after the Monday of the message, all of the same week
CHANNELS = ("email", "sms", "wechat", "push")
PURPOSE_OF_CHANNEL = tuple(PURPOSES.index(f"marketing_{name}") for name in ("email", "sms", "sms", "sms"))
ORDERS_PER_CONTACT = (0.02, 0.04, 0.03, 0.015)  # by channel, of a person of average price sensitivity and taste
PREFERRED_SHARES = (0.2, 0.2, 0.4, 0.2)  # of persons, by the channel that they like best
PREFERRED_FACTOR, OTHER_FACTOR = (
    1.8,
    0.7,
)  # on the effect of a message by the channel that its person likes best, or not
COUPON_FACTOR = 1.5
COUPON_RATIOS = (0.1, 0.15, 0.2)
COUPON_DAYS = 14
TARGETED_SHARE = 0.3
HELD_OUT_SHARE = 0.2
MESSAGE_SPAN = 2**12  # campaigns of a world at most


@dataclass(frozen=True, eq=False)
class Campaigns:
    """The campaigns of a world, one entry per campaign; each is sent on a Monday and works for the rest of the week."""

    send_day: Integers
    channel: Integers
    coupon_ratio: Numbers

    @property
    def has_coupon(self) -> Flags:
        """Whether each campaign's message carries a coupon."""
        return np.asarray(self.coupon_ratio > 0)


@dataclass(frozen=True, eq=False)
class Outreach:
    """Whom campaigns chose, one entry per person and campaign; `owner` is the index of the person in the batch.

    `is_preferred` says that the channel is the one that the person likes best. `effect` is the probability that the message
    brings about an order which there would not have been, 0 for who was held out; `order_day` is that order's day, -1 where
    there is none. `days_left` are the days of the week on which the person is still active.
    """

    owner: Integers
    key: Integers
    campaign: Integers
    is_held_out: Flags
    is_preferred: Flags
    effect: Numbers
    days_left: Integers
    order_day: Integers


@lru_cache(maxsize=8)
def campaigns(settings: WorldSettings) -> Campaigns:
    """The campaigns of the world: one every other week, the channels in turn, every second round with a coupon."""
    send_day = DAYS_OF_A_WEEK * np.arange(1, settings.weeks - 1, WEEKS_BETWEEN, dtype=np.int64)
    number = np.arange(len(send_day))
    round_number = number // len(CHANNELS)
    ratio = np.array(COUPON_RATIOS)[round_number % len(COUPON_RATIOS)]
    return Campaigns(
        send_day=send_day,
        channel=number % len(CHANNELS),
        coupon_ratio=np.where((number + round_number) % 2 == 1, ratio, 0.0),
    )


def may_be_addressed(settings: WorldSettings, crowd: People) -> Flags:
    """Whether each person's account exists and allows each campaign's channel when it is sent, by [person, campaign]."""
    sent = campaigns(settings)
    allowed = np.zeros((len(crowd.person_id), len(sent.send_day)), dtype=np.bool_)
    for channel, purpose in enumerate(PURPOSE_OF_CHANNEL):
        of_channel = np.flatnonzero(sent.channel == channel)
        allowed[:, of_channel] = granted_on(settings, crowd, purpose, sent.send_day[of_channel])
    has_joined = crowd.joined_day[:, None] < sent.send_day[None, :]
    return np.asarray(allowed & has_joined & crowd.has_account[:, None])


def preferred_channels(settings: WorldSettings, persons: Integers) -> Integers:
    """The channel by which each person likes to be addressed: its place in CHANNELS."""
    return weighted_choice(uniform(settings.seed, Stream.CONTACT_CHANNEL, persons), np.array(PREFERRED_SHARES))


def outreach(settings: WorldSettings, crowd: People) -> Outreach:
    """Whom each campaign chose among these persons, and what came of it."""
    seed, sent = settings.seed, campaigns(settings)
    allowed_owner, allowed_campaign = np.nonzero(may_be_addressed(settings, crowd))
    allowed_key = crowd.person_id[allowed_owner] * MESSAGE_SPAN + allowed_campaign
    is_target = uniform(seed, Stream.CAMPAIGN_TARGET, allowed_key) < TARGETED_SHARE
    owner, campaign, key = allowed_owner[is_target], allowed_campaign[is_target], allowed_key[is_target]
    is_held_out = uniform(seed, Stream.CAMPAIGN_TARGET, key, 1) < HELD_OUT_SHARE
    send_day = sent.send_day[campaign]
    sensitivity = tastes(settings, crowd.person_id).price_sensitivity[owner]
    effect = np.array(ORDERS_PER_CONTACT)[sent.channel[campaign]] * (0.4 + 1.2 * sensitivity)
    effect = np.where(sent.has_coupon[campaign], COUPON_FACTOR * effect, effect)
    is_preferred = np.asarray(preferred_channels(settings, crowd.person_id)[owner] == sent.channel[campaign])
    effect = effect * np.where(is_preferred, PREFERRED_FACTOR, OTHER_FACTOR)
    first_day = send_day + 1
    days_left = np.clip(np.ceil(crowd.active_until[owner] - first_day), 0, WORKING_DAYS).astype(np.int64)
    day_of_week = chosen(seed, Stream.CAMPAIGN_ORDER, key, WORKING_DAYS, 1)
    effect = np.where(is_held_out, 0.0, effect)
    orders = (uniform(seed, Stream.CAMPAIGN_ORDER, key) < effect) & (day_of_week < days_left)
    return Outreach(
        owner=owner,
        key=key,
        campaign=campaign,
        is_held_out=is_held_out,
        is_preferred=is_preferred,
        effect=effect,
        days_left=days_left,
        order_day=np.where(orders, first_day + day_of_week, -1),
    )
