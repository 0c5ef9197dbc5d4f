"""How visits begin: with a page, with a log-in, on the same device and day, and nothing else is drawn otherwise for it."""

import numpy as np
import pandas as pd
import pytest

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.contacts import NONE, contacts
from jobs.simulate.events import event_batch
from jobs.simulate.local_time import OPEN_HOURS
from jobs.simulate.openings import LOGIN_SHARE, PAGE_SHARE, login_events, page_events
from jobs.simulate.people import people
from jobs.simulate.visits import COMPLETED, IDENTIFIED, PAGED, TABLET_SHARE, VIEW_SPAN, tablets, visit_events, visits

SETTINGS = WorldSettings(seed=13, customers=2000, weeks=40)
PERSONS = np.arange(SETTINGS.customers)
CROWD = people(SETTINGS, PERSONS)
KNOWN = contacts(SETTINGS, CROWD)
COME = visits(SETTINGS, CROWD, KNOWN)
PAGES, LOGINS = page_events(SETTINGS, COME), login_events(SETTINGS, COME)
SEEN = pd.DataFrame(dict(event_batch(SETTINGS, PERSONS)))
FIRST_VIEW = pd.DataFrame(vars(visit_events(SETTINGS, CROWD, COME))).assign(
    visit=lambda views: views["key"] // 2 // VIEW_SPAN
).groupby("visit").first()  # fmt: skip


def of_visit(keys: np.ndarray) -> pd.DataFrame:
    """The first view of the visit that each of these events belongs to."""
    return FIRST_VIEW.loc[keys // 2 // VIEW_SPAN]


def test_some_visits_begin_with_a_page_and_some_with_a_log_in() -> None:
    assert len(PAGES.key) / len(COME.key) == pytest.approx(PAGE_SHARE, abs=0.01)
    assert len(LOGINS.key) / (COME.account != NONE).sum() == pytest.approx(LOGIN_SHARE, abs=0.01)
    assert SEEN["message"].is_unique
    counts = SEEN["name"].value_counts()
    assert (counts[PAGED], counts[IDENTIFIED]) == (len(PAGES.key), len(LOGINS.key))


@pytest.mark.parametrize("opening", [PAGES, LOGINS], ids=["page", "log-in"])
def test_what_opens_a_visit_comes_shortly_before_its_first_view(opening: object) -> None:
    told = pd.DataFrame(vars(opening))
    first = of_visit(told["key"].to_numpy())
    for name in ("device", "campaign", "agent", "network"):
        assert (told[name].to_numpy() == first[name].to_numpy()).all(), name
    ahead = first["happened_ms"].to_numpy() - told["happened_ms"].to_numpy()
    assert (ahead > 0).mean() > 0.999, "but at midnight, for a visit is of one day"
    assert ahead.max() < 41_000
    assert (told["happened_ms"] % 1000 != 0).all()
    assert (told[["product", "order_key"]] == NONE).all(axis=None)


def test_who_logs_in_is_nobody_before_and_known_from_then_on() -> None:
    logins, pages = pd.DataFrame(vars(LOGINS)), pd.DataFrame(vars(PAGES))
    assert (logins["account"] == of_visit(LOGINS.key)["account"].to_numpy()).all()
    assert (logins["account"] != NONE).all()
    comes_to_log_in = np.isin(PAGES.key // 2 // VIEW_SPAN, LOGINS.key // 2 // VIEW_SPAN)
    assert comes_to_log_in.any()
    assert (pages.loc[comes_to_log_in, "account"] == NONE).all()
    others = pages[~comes_to_log_in]
    assert (others["account"].to_numpy() == of_visit(others["key"].to_numpy())["account"].to_numpy()).all()


def test_a_log_in_tells_of_its_own_person_and_nothing_else_does() -> None:
    traits = ["surname", "given_name", "email", "phone"]
    is_login = SEEN["name"] == IDENTIFIED
    assert (SEEN.loc[~is_login, traits] == NONE).all(axis=None)
    owner = pd.Series(PERSONS[KNOWN.account != NONE], index=KNOWN.account[KNOWN.account != NONE])
    told = SEEN[is_login]
    person = owner.loc[told["account"]].to_numpy()
    for name in ("surname", "given_name"):
        assert (told[name].to_numpy() == vars(KNOWN)[name][person]).all(), name
    phones = np.stack([KNOWN.phone[person], KNOWN.later_phone[person]])
    assert (told["phone"].to_numpy() == phones).any(axis=0).all()
    tells_email = (told["email"] != NONE).to_numpy()
    assert (told["email"].to_numpy() == KNOWN.email[person])[tells_email].all()
    assert tells_email.mean() == pytest.approx(0.5, abs=0.05)


def test_bots_and_rings_neither_load_pages_nor_log_in() -> None:
    opened = SEEN[SEEN["name"] >= PAGED]
    devices = np.concatenate([KNOWN.device, KNOWN.second_device, KNOWN.partner_device, tablets(SETTINGS)])
    assert np.isin(opened["device"], devices).all()


def test_the_tablet_of_a_store_is_shared_by_many_and_nobody_orders_on_it() -> None:
    on_tablet = SEEN[np.isin(SEEN["device"], tablets(SETTINGS))]
    accounts = on_tablet[on_tablet["account"] != NONE].groupby("device")["account"].nunique()
    assert len(accounts) == SETTINGS.stores
    assert accounts.min() > 10
    is_open = np.isin(COME.second // 3600, OPEN_HOURS)
    is_tablet = np.isin(COME.device, tablets(SETTINGS))
    assert is_tablet[is_open].mean() == pytest.approx(TABLET_SHARE, abs=0.003)
    assert not is_tablet[~is_open].any()
    assert (on_tablet["name"] != COMPLETED).all()
