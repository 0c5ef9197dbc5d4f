"""Many small worlds of accounts and what is seen with them, and days on which anything may come, change, go or be said."""

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

from tests.rows import NOON, Row, account, identifier, row_of

KINDS = {"phone": 3, "email": 3, "open_id": 3, "device": 2, "fax": 2}
ACCOUNTS, NAMES = 7, ("ann", "bob", None)
PAST_DAYS = 60
Tables = dict[str, dict[tuple[Any, ...], Row]]


class SmallWorlds:
    """The tables that who is who is told from, of worlds that have nothing in common but the tables."""

    def __init__(self, seed: int, count: int, busy: int) -> None:
        """Worlds as they begin.

        Args:
            seed: of all that happens.
            count: how many worlds.
            busy: in how many of them something happens on a day.
        """
        self.draw = random.Random(seed)
        self.count, self.busy, self.day = count, busy, 0
        names = ("silver.accounts", "silver.identifiers", "silver.record_links", "ops.identity_overrides")
        self.tables: Tables = {name: {} for name in names}
        for world in range(count):
            for _ in range(self.draw.randrange(1, ACCOUNTS)):
                self.tell_account(world)
            for _ in range(self.draw.randrange(1, 14)):
                self.see(world)
            for _ in range(self.draw.randrange(3)):
                self.draw.choice((self.link, self.say))(world)

    def next_day(self) -> None:
        """A day passes: a few things happen in some of the worlds, to be told now, or long overdue."""
        self.day += 1
        events: tuple[Callable[[int], None], ...] = (
            self.tell_account, self.see, self.see, self.see_again, self.link, self.say, self.forget, self.forget,
        )  # fmt: skip
        for world in self.draw.sample(range(self.count), self.busy):
            for _ in range(self.draw.choice((1, 1, 2, 5))):
                self.draw.choice(events)(world)

    def rows(self, table: str) -> list[Row]:
        """The rows of a table, in no order."""
        rows = list(self.tables[table].values())
        self.draw.shuffle(rows)
        return rows

    def some_account(self, world: int) -> str:
        """An account, whether anything is told of it or not."""
        return f"w{world}:a{self.draw.randrange(ACCOUNTS)}"

    def some_time(self) -> dt.datetime:
        """Now, or late by any number of days; often the same instant."""
        late = self.draw.choice((0, 0, self.draw.randrange(PAST_DAYS)))
        return NOON + dt.timedelta(days=PAST_DAYS + self.day - late, hours=self.draw.randrange(2))

    def tell_account(self, world: int) -> None:
        """An account, or a revision of one, with a name or none."""
        told, revision = self.some_account(world), self.draw.choice((1, 1, 2))
        row = account(
            account_id=told, revision=revision, name_token=self.draw.choice(NAMES), arrived_at=self.some_time()
        )
        self.tables["silver.accounts"][told, revision] = row

    def see(self, world: int) -> None:
        """A value is seen with an account."""
        kind = self.draw.choice(list(KINDS))
        value, told = f"w{world}:{kind}{self.draw.randrange(KINDS[kind])}", self.some_account(world)
        row = identifier(
            account_id=told, identifier_kind=kind, identifier_value=value, arrived_at=self.some_time(),
            source="told", first_seen_at=NOON, last_seen_at=NOON,
        )  # fmt: skip
        self.tables["silver.identifiers"][told, kind, value] = row

    def see_again(self, world: int) -> None:
        """A value is seen once more, which says nothing of who is who."""
        key = self.some_key("silver.identifiers", world)
        if key:
            row = self.tables["silver.identifiers"][key]
            self.tables["silver.identifiers"][key] = row | {"seen_count": row["seen_count"] + 1}

    def pair(self, world: int) -> tuple[str, str]:
        """Two accounts, in their order."""
        one, other = sorted(self.draw.sample(range(ACCOUNTS), 2))
        return f"w{world}:a{one}", f"w{world}:a{other}"

    def link(self, world: int) -> None:
        """Two accounts are found alike, enough or not."""
        one, other = self.pair(world)
        row = row_of(
            "silver.record_links", left_account_id=one, right_account_id=other, arrived_at=self.some_time(),
            decision=self.draw.choice(("accept", "accept", "review")),
            match_probability=self.draw.choice((0.6, 0.96, 0.99)),
            seen_count=1 + len(self.tables["silver.record_links"]) % 3,
        )  # fmt: skip
        self.tables["silver.record_links"][one, other] = row

    def say(self, world: int) -> None:
        """A person's word about two accounts, which may take an earlier one back."""
        one, other = self.draw.sample(self.pair(world), 2)
        decision = self.draw.choice(("always", "never", "never", "as_found"))
        made_at = NOON + dt.timedelta(days=PAST_DAYS + self.day, seconds=len(self.tables["ops.identity_overrides"]))
        row = row_of(
            "ops.identity_overrides", account_id=one, other_account_id=other, made_at=made_at, decision=decision
        )
        self.tables["ops.identity_overrides"][one, other, made_at] = row

    def forget(self, world: int) -> None:
        """A row of any table goes."""
        table = self.draw.choice(list(self.tables))
        key = self.some_key(table, world)
        if key:
            del self.tables[table][key]

    def some_key(self, table: str, world: int) -> tuple[Any, ...] | None:
        """The key of a row of this world; None where it has none."""
        keys = [key for key in self.tables[table] if str(key[0]).startswith(f"w{world}:")]
        return self.draw.choice(keys) if keys else None
