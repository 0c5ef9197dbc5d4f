"""Where goods are delivered: an address per household, one for a whole dormitory or office, and one per brushing ring."""

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.contacts import partners
from jobs.simulate.draws import Flags, Integers, Stream, happens, scrambled, uniform
from jobs.simulate.rings import Rings, shown_by

ADDRESS_BITS = 34  # households below 2**33, brushing rings above
LIVES_ALONE_SHARE = 0.3  # of the pairs that share phones and devices at times, those with two homes
DORMITORY_SPAN = 2**5  # persons whose parcels all go to one gate
OFFICE_SHARE = 0.3  # of these places, the offices: there the firm's wallet pays, too


def gates(persons: Integers) -> Integers:
    """The first of the persons who would have one address if they lived in a dormitory; by its number the place is known."""
    return persons // DORMITORY_SPAN * DORMITORY_SPAN


def lives_there(settings: WorldSettings, persons: Integers) -> Flags:
    """Whether each person's parcels go to a dormitory or office."""
    return happens(settings.seed, Stream.DORMITORY, gates(persons), settings.dormitory_share)


def works_there(settings: WorldSettings, persons: Integers) -> Flags:
    """Whether each person's parcels go to an office, which pays for them."""
    is_office = uniform(settings.seed, Stream.DORMITORY, gates(persons), 1) < OFFICE_SHARE
    return np.asarray(is_office & lives_there(settings, persons), dtype=np.bool_)


def delivery_addresses(settings: WorldSettings, persons: Integers) -> Integers:
    """The number of each person's address; most pairs of a household live together."""
    household = np.minimum(persons, partners(settings, persons))
    apart = happens(settings.seed, Stream.ADDRESS, household, LIVES_ALONE_SHARE)
    home = np.where(apart, persons, household)
    place = np.where(lives_there(settings, persons), gates(persons), home)
    return scrambled(settings.seed, "addresses", place, ADDRESS_BITS)


def member_addresses(settings: WorldSettings, crew: Rings) -> Integers:
    """The number of the address to which each member of a ring orders: mostly the ring's one."""
    return scrambled(settings.seed, "addresses", shown_by(crew, "address"), ADDRESS_BITS)
