"""With what people pay: a wallet or card each, some lent within the household, one in a brushing ring."""

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.contacts import partners
from jobs.simulate.draws import Integers, Stream, uniform, word_numbers
from jobs.simulate.rings import first_members

LENT_SHARE = 0.05


def payers(settings: WorldSettings, persons: Integers, order_keys: Integers) -> Integers:
    """The 64-bit number of the wallet or card behind each order; at times that of the household's other person."""
    is_lent = uniform(settings.seed, Stream.PAYMENT, order_keys, 9) < LENT_SHARE
    return word_numbers(settings.seed, "payers", np.where(is_lent, partners(settings, persons), persons))


def ring_payers(settings: WorldSettings, ring: Integers) -> Integers:
    """The 64-bit number of each ring's one wallet."""
    return word_numbers(settings.seed, "payers", first_members(ring))
