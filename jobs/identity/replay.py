"""The replay of one component: as accounts and links become known, which of them are one customer, and under which id."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from jobs.identity.clusters import Rules, clustered
from jobs.identity.links import OVERRIDE

Node = tuple[str, str, str]
Moment = int
# The cause where nothing but an account's name becomes known.
NAME = "name"


class Told(NamedTuple):
    """An account (no rule), or a link of it to an identifier or to another account, becoming known.

    Args:
        at: when it arrived, in microseconds.
        account: the account.
        account_origin: what stands for the account where ids are minted and ties broken.
        rule: by what it is linked, a name of the settings' `identity.links`.
        kind: the kind of identifier, or `account`.
        value: the identifier, or the other account.
        group: whose identifier it is, where persons of several names share it.
        origin: what stands for the value where ties are broken.
        name: the account's name, as a token; empty where it has none.
        confidence: how sure the link is, from 0 to 1.
    """

    at: Moment
    account: str
    account_origin: str
    rule: str
    kind: str
    value: str
    group: str
    origin: str
    name: str
    confidence: float

    @property
    def account_node(self) -> Node:
        """The account as a node of the graph."""
        return "account", self.account, ""

    @property
    def node(self) -> Node:
        """What the account is linked to."""
        return self.kind, self.value, self.group


class Span(NamedTuple):
    """A node and the time in which it belonged to one customer; open where `until` is None, else with the rule that ended it."""

    node: Node
    since: Moment
    until: Moment | None
    customer_id: str
    ended_by: str | None = None


@dataclass(eq=False)
class Holding:
    """The accounts and identifiers that are one customer at a time of the replay."""

    customer_id: str
    minted: tuple[Moment, str]
    account_count: int
    members: list[Node] = field(default_factory=list)

    @property
    def seniority(self) -> tuple[int, Moment, str]:
        """What decides which of two customers keeps its id: who has more accounts, then the older, ties by origin."""
        return -self.account_count, *self.minted


def customer_id_of(origin: str, again: int = 0) -> str:
    """The id minted from an account: 64 bits, as `c-` and hexadecimal digits; another one where it is needed again."""
    text = f"{origin}#{again}" if again else origin
    return "c-" + hashlib.sha256(text.encode()).hexdigest()[:16]


class Replay:
    """The customers of a component as they change, and the spans that have ended."""

    def __init__(self) -> None:
        self.holdings: dict[Node, Holding] = {}
        self.since: dict[Node, Moment] = {}
        self.ended: list[Span] = []
        self.minted: dict[str, int] = {}

    def mint(self, at: Moment, origin: str) -> Holding:
        """A new customer, named after its first account; never by an id that was given before."""
        again = self.minted.get(origin, -1) + 1
        self.minted[origin] = again
        return Holding(customer_id_of(origin, again), (at, origin), 0)

    def enter(self, node: Node, holding: Holding, at: Moment) -> None:
        """A node that was not known belongs to the customer from now on."""
        holding.members.append(node)
        self.holdings[node] = holding
        self.since[node] = at

    def tell_account(self, told: Told) -> None:
        """An account becomes known, as a customer of its own until a link says otherwise."""
        if told.account_node not in self.holdings:
            holding = self.mint(told.at, told.account_origin)
            holding.account_count = 1
            self.enter(told.account_node, holding, told.at)

    def move(self, node: Node, kept: Holding, at: Moment, cause: str) -> None:
        """A node changes its customer; a time of no length leaves no span."""
        lost = self.holdings[node]
        if self.since[node] < at:
            self.ended.append(Span(node, self.since[node], at, lost.customer_id, cause))
            self.since[node] = at
        self.holdings[node] = kept

    def join(self, links: Sequence[Told], at: Moment) -> None:
        """Links become known at one moment, and what they join is one customer each."""
        leaders: dict[int, Holding] = {}

        def leader(holding: Holding) -> Holding:
            while id(holding) in leaders:
                holding = leaders[id(holding)]
            return holding

        joined: dict[int, tuple[Holding, str]] = {}
        for told in links:
            self.tell_account(told)
            mine, other = self.holdings[told.account_node], self.holdings.get(told.node)
            if other is None:
                self.enter(told.node, mine, at)
                continue
            one, two = sorted((leader(mine), leader(other)), key=lambda holding: holding.seniority)
            if one is not two:
                leaders[id(two)] = one
                joined[id(two)] = two, told.rule
        for lost, cause in joined.values():
            kept = leader(lost)
            for node in lost.members:
                self.move(node, kept, at, cause)
            kept.members += lost.members
            kept.account_count += lost.account_count

    def regroup(
        self, groups: Sequence[list[Node]], origins: Mapping[Node, tuple[Moment, str]], at: Moment, cause: str
    ) -> None:
        """The customers are these groups of nodes from now on: each takes the id with which it shares most accounts."""
        heirs = self._heirs(groups)
        grouped: set[Node] = set()
        for place, group in enumerate(groups):
            accounts = [node for node in group if node[0] == "account"]
            old = heirs.get(place)
            now = self.mint(*min(origins[node] for node in accounts)) if old is None else old
            now = Holding(now.customer_id, now.minted, len(accounts), group)
            grouped.update(group)
            for node in group:
                if node not in self.holdings:
                    self.holdings[node], self.since[node] = now, at
                elif self.holdings[node].customer_id != now.customer_id:
                    self.move(node, now, at, cause)
                else:
                    self.holdings[node] = now
        for node in self.holdings.keys() - grouped:
            self.leave(node, at, cause)

    def leave(self, node: Node, at: Moment, cause: str) -> None:
        """An identifier belongs to nobody from now on."""
        since, lost = self.since.pop(node), self.holdings.pop(node)
        if since < at:
            self.ended.append(Span(node, since, at, lost.customer_id, cause))

    def _heirs(self, groups: Sequence[Sequence[Node]]) -> dict[int, Holding]:
        """By place of a group, the customer whose id it takes; the older one where it shares as much with two."""
        claims: list[tuple[int, Moment, str, int, Holding]] = []
        for place, group in enumerate(groups):
            held = [self.holdings[node] for node in group if node[0] == "account" and node in self.holdings]
            customers = {holding.customer_id: holding for holding in held}
            shared = Counter(holding.customer_id for holding in held)
            claims += [(-count, *customers[one].minted, place, customers[one]) for one, count in shared.items()]
        heirs: dict[int, Holding] = {}
        given: set[str] = set()
        for _, _, _, place, holding in sorted(claims, key=lambda claim: claim[:4]):
            if place not in heirs and holding.customer_id not in given:
                heirs[place] = holding
                given.add(holding.customer_id)
        return heirs

    def spans(self) -> list[Span]:
        """All times, the open ones last."""
        now = [Span(node, since, None, self.holdings[node].customer_id) for node, since in self.since.items()]
        return self.ended + now


def cause_of(known: Sequence[Told], at: Moment, said: Mapping[Moment, str]) -> str:
    """The rule of the last link to become known at a moment; else the word that begins to hold, or the name that is told.

    Args:
        known: accounts and links known at the moment.
        at: the moment.
        said: by moment, what persons say from then on.
    """
    now = [told.rule for told in known if told.at == at and told.rule]
    if now:
        return now[-1]
    return f"{OVERRIDE}:{said[at]}" if at in said else NAME


def replayed(story: Sequence[Told], rules: Rules) -> tuple[list[Span], list[Told]]:
    """The spans of a component's nodes, and the links that are refused as things stand at its end.

    Where no two persons can be in it, each link joins. Where values that are unique contradict each other, or a person said
    never to join, the customers at each moment are what the strongest of the links known by then make of them.

    Args:
        story: accounts and links in the order in which they became known, accounts before links of the same moment.
        rules: the kinds of links, and what persons said.
    """
    replay = Replay()
    if not rules.contested(story):
        for at, moment in groupby(story, key=lambda told: told.at):
            links = []
            for told in moment:
                if told.rule:
                    links.append(told)
                else:
                    replay.tell_account(told)
            if links:
                replay.join(links, at)
        return replay.spans(), []
    origins: dict[Node, tuple[Moment, str]] = {}
    refused: list[Told] = []
    place, said = 0, rules.said_at(story)
    for at in sorted({told.at for told in story} | said.keys()):
        while place < len(story) and story[place].at <= at:
            told = story[place]
            origins.setdefault(told.account_node, (told.at, told.account_origin))
            if told.kind == "account" and told.rule:
                # A link may tell of an account before the account itself arrives.
                origins.setdefault(told.node, (told.at, told.origin))
            place += 1
        groups, refused = clustered(story[:place], rules, at)
        replay.regroup(groups, origins, at, cause_of(story[:place], at, said))
    return replay.spans(), refused
