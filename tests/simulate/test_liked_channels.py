"""The contact channel that each person likes: in the truth, in the orders that messages bring, and in what is opened."""

import numpy as np
import pandas as pd
import pytest

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.coupons import CONTACT_KINDS, contact_batch
from jobs.simulate.expectation import lines_by_campaigns
from jobs.simulate.orders import campaign_orders, order_lines
from jobs.simulate.outreach import PREFERRED_SHARES, campaigns, outreach, preferred_channels
from jobs.simulate.people import people

SETTINGS = WorldSettings(seed=17, customers=20_000, weeks=80, truth_weeks_ahead=4)
PERSONS = np.arange(SETTINGS.customers)
CROWD = people(SETTINGS, PERSONS)


def test_persons_like_one_channel_and_answer_to_it() -> None:
    liked = preferred_channels(SETTINGS, PERSONS)
    assert np.bincount(liked) / len(liked) == pytest.approx(PREFERRED_SHARES, abs=0.015)
    reached = outreach(SETTINGS, CROWD)
    channel = campaigns(SETTINGS).channel[reached.campaign]
    assert (reached.is_preferred == (liked[reached.owner] == channel)).all()
    is_sent = ~reached.is_held_out
    for number in range(len(PREFERRED_SHARES)):
        preferred, other = (is_sent & (channel == number) & (reached.is_preferred == flag) for flag in (True, False))
        effects = [reached.effect[rows].mean() for rows in (preferred, other)]
        assert effects[0] / effects[1] == pytest.approx(1.8 / 0.7, rel=0.05), "in the truth"
    brought = reached.order_day >= 0
    drawn = [brought[is_sent & (reached.is_preferred == flag)].mean() for flag in (True, False)]
    assert drawn[0] > 1.8 * drawn[1], "in the orders drawn"
    of_order = np.bincount(order_lines(SETTINGS, campaign_orders(SETTINGS, CROWD)).order)
    assert len(of_order) == brought.sum()
    assert abs(of_order.sum() - lines_by_campaigns(SETTINGS, CROWD).sum()) < 4 * np.sqrt((of_order**2).sum())


def test_the_liked_channel_can_be_learned_from_openings_and_clicks() -> None:
    rows = pd.DataFrame(dict(contact_batch(SETTINGS, PERSONS[:8000])))
    crowd = people(SETTINGS, PERSONS[:8000])
    reached = outreach(SETTINGS, crowd)
    sent = rows[rows["kind"] == CONTACT_KINDS.index("send")]
    assert len(sent) == (~reached.is_held_out).sum()
    told = (
        sent[["message_number"]]
        .assign(is_preferred=reached.is_preferred[~reached.is_held_out])
        .set_index("message_number")
    )
    shares = {}
    for kind in ("open", "click"):
        happened = rows.loc[rows["kind"] == CONTACT_KINDS.index(kind), "message_number"]
        shares[kind] = told.assign(it=told.index.isin(happened)).groupby("is_preferred")["it"].mean()
    assert shares["open"][True] > 1.4 * shares["open"][False]
    assert shares["click"][True] > 2 * shares["click"][False]
