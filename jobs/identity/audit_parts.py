"""What the audit's page is made of: its style, figures by name, bars, tables, sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { color-scheme: light; --ink: #1d2430; --soft: #5b6472; --line: #e3e7ee; --one: #2f6fb2; --two: #e08a2c; --three: #c9d3e0; }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, "Segoe UI", "Noto Sans", sans-serif; color: var(--ink); background: #f5f7fa; margin: 0 }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px }
h1 { font-size: 28px; margin: 0 } h2 { font-size: 18px; margin: 0 0 4px }
p { color: var(--soft); margin: 0 0 14px; max-width: 84ch }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 20px 24px; margin-top: 20px; overflow-x: auto }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 12px; margin-top: 20px }
.tile { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px }
.tile b { display: block; font-size: 24px; font-variant-numeric: tabular-nums } .tile span { color: var(--soft); font-size: 13px }
.tile.bad { border-color: var(--two) } .tile.bad b { color: #b3610e }
table { border-collapse: collapse; width: 100% }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13px; border-bottom: 1px solid var(--line) }
th, td { padding: 5px 16px 5px 0; vertical-align: middle } th:first-child { width: 20% }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } td.w { width: 34% }
tr + tr td { border-top: 1px solid #f0f2f6 } svg { display: block; width: 100%; height: 14px } code { font-size: 13px }
.key i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin: 0 5px 0 14px }
"""
# Columns of words; numbers stand to the right.
LEFT = ("", "why", "why not", "by")
ONE, TWO, REST = "var(--one)", "var(--two)", "var(--three)"


@dataclass(frozen=True)
class Figure:
    """A row of gold.identity_audit."""

    section: str
    label: str
    measure: str
    position: int
    value: float | None
    note: str | None


class Figures:
    """The figures of an audit, found by section, label and measure; a count that is not there is nought."""

    def __init__(self, rows: Iterable[Figure]) -> None:
        self.rows = sorted(rows, key=lambda row: (row.section, row.position, row.label))
        self.known = {(row.section, row.label, row.measure): row for row in self.rows}

    def labels(self, section: str) -> list[str]:
        """The labels of a section, in their order."""
        return list(dict.fromkeys(row.label for row in self.rows if row.section == section))

    def count(self, section: str, label: str, measure: str) -> float:
        """A figure; 0 where there is none."""
        row = self.known.get((section, label, measure))
        return 0.0 if row is None or row.value is None else row.value

    def total(self, measure: str) -> float:
        """A figure of the whole lake."""
        return self.count("totals", "all", measure)


def number(value: float) -> str:
    """A count as people read it."""
    return f"{value:,.0f}"


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent; a dash of nothing."""
    return f"{part / whole:.1%}" if whole else "–"


def bar(*parts: tuple[float, str], whole: float) -> str:
    """A bar with a stretch per part, each with its colour, as long against the cell as the parts are against the whole."""
    drawn, at = [], 0.0
    for value, colour in parts:
        width = 100 * value / whole if whole else 0.0
        drawn.append(f'<rect x="{at:.2f}%" y="2" width="{width:.2f}%" height="10" rx="1.5" fill="{colour}"/>')
        at += width
    return f'<svg role="presentation">{"".join(drawn)}</svg>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what is drawn takes a third of it, numbers stand to the right."""

    def cell(tag: str, text: str, place: int, drawn: bool) -> str:
        kind = "w" if drawn else "n" if place and headings[place] not in LEFT else ""
        return f'<{tag} class="{kind}">{text}</{tag}>'

    head = "".join(cell("th", escape(text), place, False) for place, text in enumerate(headings))
    body = "".join(
        f"<tr>{''.join(cell('td', text, place, text.startswith('<svg')) for place, text in enumerate(row))}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def part(title: str, told: str, *content: str) -> str:
    """A section: what it is called, what it says in a sentence or two, and its tables."""
    return f"<section><h2>{escape(title)}</h2><p>{escape(told)}</p>{''.join(content)}</section>"


def key(*colours: tuple[str, str]) -> str:
    """What the colours mean."""
    named = "".join(f'<i style="background:{colour}"></i>{escape(name)}' for name, colour in colours)
    return f'<p class="key">{named}</p>'
