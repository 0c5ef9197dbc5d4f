"""The audit of customers as one page for people: everything in one file, and nothing in it but counts and ids."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from jobs.identity.audit_parts import ONE, REST, STYLE, TWO, Figure, Figures, bar, key, number, part, share, table

MONTHS_SHOWN = 36


def tiles(found: Figures) -> str:
    """The figures that a reader looks for first; what should be nought and is not stands out."""
    customers, accounts = found.total("customers"), found.total("accounts")
    bridges, joining = found.total("bridges"), found.total("joining_links")
    shown = [
        (number(accounts), "accounts, cards and contacts", False),
        (number(customers), "customers that they belong to", False),
        (f"{accounts / customers:.2f}" if customers else "–", "accounts per customer", False),
        (share(found.total("customers_of_one_account"), customers), "of customers have one account", False),
        (share(bridges, joining), f"of joining links are bridges: {number(bridges)}", False),
        (number(found.total("reviews")), "pairs wait for a person's word", False),
        (number(found.total("accounts_put_aside")), "accounts in suspicious groups", True),
        (number(found.total("customers_in_pieces")), "customers that no links hold together", True),
    ]
    drawn = [
        f'<div class="tile{" bad" if is_fault and value != "0" else ""}"><b>{value}</b><span>{escape(told)}</span></div>'
        for value, told, is_fault in shown
    ]
    return f'<div class="tiles">{"".join(drawn)}</div>'


def sizes(found: Figures) -> str:
    """Customers by size."""
    labels = found.labels("customer_sizes")
    most = max((found.count("customer_sizes", label, "customers") for label in labels), default=0)
    rows = []
    for label in labels:
        customers = found.count("customer_sizes", label, "customers")
        drawn = bar((customers, ONE), whole=most)
        rows.append([escape(label), drawn, number(customers), share(customers, found.total("customers"))])
    return part(
        "How large customers are",
        "A customer is a group of accounts (shop accounts, member cards, guests' contacts) that links hold to be one person. Most people"
        " have one to four; a customer of dozens is seldom one person.",
        table(("accounts", "", "customers", "share"), rows),
    )


def nodes(found: Figures) -> str:
    """Customers by the size of their component."""
    labels = found.labels("node_sizes")
    counts = [found.count("node_sizes", label, "customers") for label in labels]
    rows = [
        [escape(label), bar((count, ONE), whole=max(counts)), number(count)]
        for label, count in zip(labels, counts, strict=True)
    ]
    return part(
        "The same with identifiers",
        "Accounts and all that is seen with them: phones, e-mail addresses, devices, wallets and OpenIDs.",
        table(("accounts and identifiers", "", "customers"), rows),
    )


def feeds(found: Figures) -> str:
    """Accounts that stayed alone, by the feed that told of them."""
    rows = []
    for label in sorted(found.labels("feeds"), key=lambda label: -found.count("feeds", label, "accounts")):
        accounts, alone = (found.count("feeds", label, name) for name in ("accounts", "customers_of_one_account"))
        drawn = bar((alone, TWO), (accounts - alone, REST), whole=accounts)
        rows.append([escape(label), drawn, number(accounts), number(alone), share(alone, accounts)])
    return part(
        "Who stayed alone",
        "Accounts that are the only one of their customer, by where they come from. Some people have one account; where the share is"
        " high, that feed tells too little to find the others.",
        key(("alone", TWO), ("with others", REST)),
        table(("feed", "", "accounts", "alone", "share"), rows),
    )


def rules(found: Figures) -> str:
    """Links by rule, and why some don't join."""
    reasons: dict[str, list[str]] = {}
    for row in found.rows:
        if row.section == "refusals":
            told = f"{row.measure.replace('_', ' ')}: {number(row.value or 0)}"
            reasons.setdefault(row.label, []).append(escape(told))
    labels = found.labels("rules")
    most = max((found.count("rules", label, "links") for label in labels), default=0)
    rows = []
    for label in labels:
        links, accepted = (found.count("rules", label, name) for name in ("links", "accepted_links"))
        drawn = bar((accepted, ONE), (links - accepted, TWO), whole=most)
        refused = ", ".join(reasons.get(label, [])) or "–"
        rows.append([rule(label), drawn, number(links), number(links - accepted), refused])
    return part(
        "Links by rule",
        "Each link says that an account was seen with an identifier, or two accounts are one person's; the strongest rule stands first."
        " A link is refused where a value is shared by too many, is blocked, or contradicts stronger links.",
        key(("may join", ONE), ("refused", TWO)),
        table(("rule", "", "links", "refused", "why not"), rows),
    )


def rule(label: str) -> str:
    """A rule's name in words."""
    words = {
        "record_link": "likeness of records",
        "override": "a person's word",
        "open_id": "OpenID",
        "union_id": "UnionID",
    }
    return escape(words.get(label, label))


def holding(found: Figures) -> str:
    """What the links of each rule hold, and how many customers hang on one."""
    rows = []
    for label in found.labels("rules"):
        joining, bridges = (found.count("rules", label, name) for name in ("joining_links", "bridges"))
        if joining:
            drawn = bar((bridges, TWO), (joining - bridges, REST), whole=joining)
            rows.append([rule(label), drawn, number(joining), number(bridges), share(bridges, joining)])
    return part(
        "Bridges",
        "A joining link leads from one account of a customer to another. It is a bridge where nothing else joins the two sides: without"
        " it the customer would fall apart. If a rule is wrong, its bridges are the customers that are wrong.",
        key(("bridges", TWO), ("one of several ways", REST)),
        table(("rule", "", "joining links", "bridges", "share"), rows),
    )


def density(found: Figures) -> str:
    """How densely customers are held, by their size."""
    rows = []
    for label in found.labels("customer_sizes"):
        names = ("customers", "customers_without_bridge", "joining_links", "spare_links")
        customers, safe, joining, spare = (found.count("customer_sizes", label, name) for name in names)
        if joining:
            drawn = bar((safe, ONE), (customers - safe, TWO), whole=customers)
            held = f"{joining / (joining - spare):.2f}"
            rows.append([escape(label), drawn, share(safe, customers), share(spare, joining), held])
    return part(
        "Density",
        "How well customers are held, by the number of their accounts. Spare links could be lost without splitting anybody. The last"
        " figure is links per link needed: 1.00 is a chain of bridges, 2.00 holds everything twice.",
        key(("no bridge", ONE), ("hang on one bridge or more", TWO)),
        table(("accounts", "", "without a bridge", "spare links", "links per link needed"), rows),
    )


def largest(found: Figures) -> str:
    """The largest customers."""
    return part(
        "The largest customers",
        "With the confidence of their weakest bridge, where they have one. What holds a customer together, link by link:"
        " python -m jobs identity explain CUSTOMER_ID",
        customers_of(found, "largest_customers"),
    )


def doubtful(found: Figures) -> str:
    """The customers to doubt first."""
    return part(
        "The customers to doubt first",
        "Those that hang on the least sure links. Two accounts are parted, or joined, by a person's word:"
        " python -m jobs identity separate ACCOUNT_ID ACCOUNT_ID (or join).",
        customers_of(found, "doubtful_customers"),
    )


def customers_of(found: Figures, section: str) -> str:
    """The customers of a section, a row each."""
    rows = []
    for label in found.labels(section):
        names = ("accounts", "identifiers", "joining_links", "bridges")
        counts = [number(found.count(section, label, name)) for name in names]
        weakest = found.known.get((section, label, "weakest_bridge_confidence"))
        told = ["–", "–"]
        if weakest is not None and weakest.value is not None:
            told = [f"{weakest.value:.3f}", rule(weakest.note or "")]
        rows.append([f"<code>{escape(label)}</code>", *counts, *told])
    return table(("customer", "accounts", "identifiers", "joining links", "bridges", "weakest bridge", "by"), rows)


REASONS = {
    "too_many_links": "too many links",
    "too_many_accounts": "too many accounts",
    "too_many_names": "accounts of too many names",
}


def put_aside(found: Figures) -> str:
    """Groups of accounts that nobody was made of, by reason; nothing where there are none."""
    rows = []
    for label in found.labels("put_aside"):
        counts = [found.count("put_aside", label, name) for name in ("components", "accounts", "links")]
        rows.append([escape(REASONS.get(label, label)), *map(number, counts)])
    if not rows:
        return ""
    return part(
        "Put aside",
        "Groups of accounts that hang together by more than one person's links: a value that many share, and that should be blocked, or a"
        " chain of wrong ones. None of their links joins, so that each account is a customer of its own, unless a person says otherwise.",
        table(("why", "groups", "accounts", "links"), rows),
    )


def changes(found: Figures) -> str:
    """Merges and splits by month."""
    labels = found.labels("changes")[-MONTHS_SHOWN:]
    counts = {
        label: [found.count("changes", label, name) for name in ("merges", "splits", "renames")] for label in labels
    }
    most = max((sum(told[:2]) for told in counts.values()), default=0)
    rows = [
        [label, bar((told[0], ONE), (told[1], TWO), whole=most), *map(number, told)] for label, told in counts.items()
    ]
    return part(
        "Merges and splits",
        f"How often evidence joined two customers or parted one, by the month in which it arrived; the last {MONTHS_SHOWN} months."
        " A rename is a customer that kept its id although the rules would now name it otherwise.",
        key(("merges", ONE), ("splits", TWO)),
        table(("month", "", "merges", "splits", "renames"), rows),
    )


def page(dataset: str, version: int, rows: Iterable[Figure]) -> str:
    """The whole page.

    Args:
        dataset: whose customers they are.
        version: of gold.identity_audit.
        rows: that table.
    """
    found = Figures(rows)
    last = found.known.get(("totals", "all", "accepted_links"))
    until = f" Evidence up to {escape(last.note)}." if last and last.note else ""
    parts = (sizes, nodes, feeds, rules, holding, density, largest, doubtful, put_aside, changes)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Who is who: {escape(dataset)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>Who is who</h1><p>Audit of the customers of <b>{escape(dataset)}</b>.{until} From gold.identity_audit, version {version}.</p>"
        f"{tiles(found)}{''.join(draw(found) for draw in parts)}</main></body></html>\n"
    )
