"""Who is one customer where links contradict each other: the strongest links join, the weakest bridges are cut."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from jobs.identity.links import OVERRIDE
from jobs.identity.overrides import ALWAYS_JOIN, AS_FOUND, NEVER_JOIN, Pair, Words
from jobs.lakehouse.identity_settings import LinkSettings

if TYPE_CHECKING:
    from jobs.identity.replay import Node, Told

MICROSECONDS_PER_DAY = 86_400_000_000
# What the settings don't name joins nobody, but says whose an identifier is.
UNNAMED = LinkSettings(priority=100, joins="never")


@dataclass(frozen=True)
class Rules:
    """What holds when links are weighed.

    Args:
        links: the kinds of links, by name.
        words: what persons said of pairs of accounts.
    """

    links: Mapping[str, LinkSettings]
    words: Words

    @cached_property
    def pairs_of(self) -> Mapping[str, Sequence[Pair]]:
        """The pairs that somebody said something of, by each of their accounts."""
        found: dict[str, list[Pair]] = defaultdict(list)
        for pair in self.words:
            for account in pair:
                found[account].append(pair)
        return dict(found)

    def pairs_among(self, accounts: Set[str]) -> set[Pair]:
        """The pairs of these accounts that somebody said something of."""
        if not self.words:
            return set()
        return {pair for account in accounts for pair in self.pairs_of.get(account, ()) if pair <= accounts}

    def said(self, pair: Pair, at: int) -> str:
        """The word that holds of a pair at a moment."""
        return next((decision for since, decision in reversed(self.words.get(pair, ())) if since <= at), AS_FOUND)

    def holds(self, told: Told, at: int) -> bool:
        """Whether a link is there at a moment; a person's word lasts until it is taken back."""
        return told.rule != OVERRIDE or self.said(frozenset((told.account, told.value)), at) == ALWAYS_JOIN

    def of(self, told: Told) -> LinkSettings:
        """The settings of a link's kind."""
        return self.links.get(told.rule, UNNAMED)

    def is_unique(self, kind: str) -> bool:
        """Whether a customer may have few values of this kind only."""
        return kind in self.links and self.links[kind].max_per_customer is not None

    def contested(self, story: Sequence[Told]) -> bool:
        """Whether joining everything in the story could break a rule."""
        said = [self.words[pair] for pair in self.pairs_among(accounts_in(story))]
        if any(decision != ALWAYS_JOIN for words in said for _, decision in words):
            return True
        if len({told.name for told in story} - {""}) > 1 and any(self.needs_name(told) for told in story):
            return True
        return self.too_many({(told.kind, told.value) for told in story if told.rule and self.is_unique(told.kind)})

    def too_many(self, values: Set[tuple[str, str]]) -> bool:
        """Whether these values of unique kinds, each with its kind, are more than one customer may have."""
        counts = Counter(kind for kind, _ in values)
        return any(count > (self.links[kind].max_per_customer or 0) for kind, count in counts.items())

    def needs_name(self, told: Told) -> bool:
        """Whether the link takes an account without a name to an identifier that persons of several names may share."""
        return bool(told.rule) and not told.name and self.of(told).joins == "not_against_name"

    def said_at(self, story: Sequence[Told]) -> dict[int, str]:
        """What persons' words say of these accounts, by the moment from which they hold: when they were said, or the first of the story.

        Of several words at one moment it is the first in the alphabet.
        """
        first = min(told.at for told in story)
        words = [word for pair in self.pairs_among(accounts_in(story)) for word in self.words[pair]]
        # Of what was said before the accounts were there the last word is the one that holds.
        begun = sorted({(max(at, first), -at, decision) for at, decision in words}, reverse=True)
        return {moment: decision for moment, _, decision in begun}

    def strength(self, told: Told, at: int) -> tuple[float, ...]:
        """Where a link stands, the strongest least: by priority, then by confidence as it has faded, then the older one."""
        link = self.of(told)
        confidence = told.confidence
        if link.half_life_days:
            confidence *= 0.5 ** ((at - told.at) / MICROSECONDS_PER_DAY / link.half_life_days)
        return link.priority, -confidence, told.at


def accounts_in(story: Sequence[Told]) -> set[str]:
    """The accounts that a story tells of, those too that a link alone tells of."""
    return {told.account for told in story} | {told.value for told in story if told.kind == "account"}


class Cluster:
    """Nodes that are one customer so far, and what of them must stay apart from others."""

    def __init__(self, node: Node, name: str, rules: Rules) -> None:
        self.members = [node]
        self.names = {name} - {""}
        self.accounts = {node[1]} if node[0] == "account" else set()
        self.unique = {(node[0], node[1])} if rules.is_unique(node[0]) else set()

    def may_join(self, other: Cluster, told: Told, rules: Rules, at: int) -> bool:
        """Whether the two may be one customer by a link."""
        if rules.needs_name(told) and self.names and other.names and not self.names & other.names:
            return False
        if rules.too_many(self.unique | other.unique):
            return False
        accounts = self.accounts | other.accounts
        return not any(rules.said(pair, at) == NEVER_JOIN for pair in rules.pairs_among(accounts))

    def take(self, other: Cluster) -> None:
        """The other's nodes belong here."""
        self.members += other.members
        self.names |= other.names
        self.accounts |= other.accounts
        self.unique |= other.unique


def clustered(known: Sequence[Told], rules: Rules, at: int) -> tuple[list[list[Node]], list[Told]]:
    """Groups of nodes, each with an account, and the links that were refused: Kruskal's order, under constraints.

    The strongest link comes first and joins its two ends, unless that would put two values of a unique kind, or two
    accounts that must never be joined, into one customer. So of the links between two persons the weakest are cut.

    Args:
        known: accounts and links known at the moment.
        rules: the kinds of links, and what persons said.
        at: the moment, in microseconds.
    """
    clusters: dict[Node, Cluster] = {}
    for told in known:
        if told.account_node not in clusters:
            clusters[told.account_node] = Cluster(told.account_node, told.name, rules)
        elif told.name:
            clusters[told.account_node].names.add(told.name)
    refused: list[Told] = []
    links = sorted(
        (told for told in known if told.rule and rules.holds(told, at)),
        key=lambda told: (*rules.strength(told, at), told.account_origin, told.rule, told.origin, told.group),
    )
    for told in links:
        mine = clusters[told.account_node]
        other = clusters.get(told.node) or Cluster(told.node, told.group, rules)
        if mine is other:
            continue
        if not mine.may_join(other, told, rules, at):
            refused.append(told)
            continue
        if len(mine.members) < len(other.members):
            mine, other = other, mine
        mine.take(other)
        for node in other.members:
            clusters[node] = mine
    groups = {id(cluster): cluster.members for cluster in clusters.values() if cluster.accounts}
    return list(groups.values()), refused
