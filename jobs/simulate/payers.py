"""With what people pay: a wallet or card each, some lent within the household, one in an office and in a brushing ring."""

import numpy as np

from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.addresses import gates, works_there
from jobs.simulate.contacts import partners
from jobs.simulate.draws import Integers, Stream, uniform, word_numbers
from jobs.simulate.rings import Rings, shown_by

LENT_SHARE = 0.05


def payers(settings: WorldSettings, persons: Integers, order_keys: Integers) -> Integers:
    """The 64-bit number of the wallet or card behind each order; at times that of the household's other person."""
    is_lent = uniform(settings.seed, Stream.PAYMENT, order_keys, 9) < LENT_SHARE
    own = np.where(is_lent, partners(settings, persons), persons)
    return word_numbers(settings.seed, "payers", np.where(works_there(settings, persons), gates(persons), own))


def member_payers(settings: WorldSettings, crew: Rings) -> Integers:
    """The 64-bit number of the wallet with which each member of a ring pays: mostly the ring's one."""
    return word_numbers(settings.seed, "payers", shown_by(crew, "payer"))
