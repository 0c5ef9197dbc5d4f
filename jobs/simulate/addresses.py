"""Where goods are delivered: an address per household, and one per brushing ring."""

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.contacts import partners
from jobs.simulate.draws import Integers, Stream, happens, scrambled
from jobs.simulate.rings import first_members

ADDRESS_BITS = 34  # households below 2**33, brushing rings above
LIVES_ALONE_SHARE = 0.3  # of the pairs that share phones and devices at times, those with two homes


def delivery_addresses(settings: WorldSettings, persons: Integers) -> Integers:
    """The number of each person's address; most pairs of a household live together."""
    household = np.minimum(persons, partners(settings, persons))
    apart = happens(settings.seed, Stream.ADDRESS, household, LIVES_ALONE_SHARE)
    return scrambled(settings.seed, "addresses", np.where(apart, persons, household), ADDRESS_BITS)


def ring_addresses(settings: WorldSettings, ring: Integers) -> Integers:
    """The number of each ring's one address."""
    return scrambled(settings.seed, "addresses", first_members(ring), ADDRESS_BITS)
