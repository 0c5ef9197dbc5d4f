"""Fuzzy links against known truth: FEBRL 1 to 4, Splink's fake-1000, and others in the same form.

    python benchmarks/linking.py [--data ../shared/data] [--only febrl4 fake-1000]
    python benchmarks/linking.py --model conf/linking/febrl.yaml --records left.csv right.csv --id rec_id --person person
    python benchmarks/linking.py --synthetic 50000 200000 400000 [--memory-mib 2048] [--threads 2]

Precision, recall and F1 of the accepted pairs, and of all pairs in the groups that these make; the truth scores and does nothing
else: ids and persons are taken away before the records are linked, and put back after. Every set is linked in a random order,
under ids drawn anew.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import networkx as nx
import pandas as pd

from benchmarks.synthetic_people import invented_accounts
from jobs.identity.linking import Resources, linked_pairs
from jobs.identity.linking_choice import ACCEPT
from jobs.lakehouse.linking_settings import LinkingModel, read_linking_model

CHECKOUT = Path(__file__).resolve().parents[1]
CONF = CHECKOUT / "conf" / "linking"
Pair = tuple[str, str]


@dataclass(frozen=True)
class LabelledSet:
    """Records with the person that each is of, and how they are linked."""

    name: str
    records: pd.DataFrame
    persons: pd.Series[str]
    model: LinkingModel


@dataclass(frozen=True)
class Score:
    """How pairs compare with the true ones."""

    found: int
    right: int
    true: int

    @property
    def precision(self) -> float:
        """The share of what was found that is true."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """The share of what is true that was found."""
        return self.right / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.right / (self.found + self.true) if self.found + self.true else 1.0

    def __str__(self) -> str:
        """The three figures."""
        return f"precision {self.precision:.4f}  recall {self.recall:.4f}  F1 {self.f1:.4f}"


@dataclass(frozen=True)
class Measured:
    """The scores of the accepted pairs and of the groups that they make, and the seconds it took."""

    pairs: Score
    groups: Score
    seconds: float


def read_records(file: Path, id_column: str) -> pd.DataFrame:
    """The records of a CSV file, all text, under `record_id`."""
    rows = pd.read_csv(file, dtype=str, skipinitialspace=True)
    rows.columns = rows.columns.str.strip()
    stripped = pd.DataFrame({name: rows[name].str.strip() for name in rows})
    return stripped.rename(columns={id_column: "record_id"})


def febrl(folder: Path, number: int) -> LabelledSet:
    """One of the FEBRL sets; the fourth comes in two halves of which each record has one partner."""
    model = read_linking_model(CONF / "febrl.yaml")
    if number == 4:
        halves = [read_records(folder / f"dataset4{half}.csv.gz", "rec_id").assign(source=half) for half in "ab"]
        records, model = pd.concat(halves, ignore_index=True), model.model_copy(update={"sets": "two"})
    else:
        records = read_records(folder / f"dataset{number}.csv.gz", "rec_id")
    persons = records["record_id"].str.extract(r"rec-(\d+)-", expand=False)
    return LabelledSet(f"febrl{number}", records, persons, model)


def fake_1000(folder: Path) -> LabelledSet:
    """Splink's fake-1000."""
    records = read_records(folder / "fake_1000.csv.gz", "unique_id")
    return LabelledSet("fake-1000", records, records.pop("cluster"), read_linking_model(CONF / "fake-1000.yaml"))


def known_sets(data: Path) -> list[LabelledSet]:
    """The sets that are always measured."""
    return [*(febrl(data / "febrl", number) for number in (1, 2, 3, 4)), fake_1000(data / "splink-fake-1000")]


def synthetic(count: int) -> LabelledSet:
    """So many invented accounts, linked as those of a retailer are."""
    accounts, persons = invented_accounts(count)
    return LabelledSet(f"{count:,}", accounts, persons, read_linking_model(CONF / "accounts.yaml"))


def measured(labelled: LabelledSet, seed: int = 1, resources: Resources | None = None) -> Measured:
    """How well a set is linked under other ids and in another order than it came in."""
    draw = random.Random(seed)
    drawn = [f"r{number}" for number in draw.sample(range(10**7), len(labelled.records))]
    person = dict(zip(drawn, labelled.persons, strict=True))
    records = labelled.records.assign(record_id=drawn).sample(frac=1, random_state=seed)
    started = time.monotonic()
    pairs = linked_pairs(records, labelled.model, resources)
    seconds = time.monotonic() - started
    chosen = pairs[pairs["decision"] == ACCEPT]
    found = set(zip(chosen["left_id"], chosen["right_id"], strict=True))
    across = dict(zip(drawn, labelled.records["source"], strict=True)) if labelled.model.sets == "two" else None
    true = count_true(person, across)
    return Measured(scored(found, person, true), scored(closed(found), person, true), seconds)


def count_true(person: dict[str, str], source: dict[str, str] | None) -> int:
    """How many pairs there are of one person; between the two sets where there are two."""
    rows = pd.DataFrame({"person": person, "source": source or dict.fromkeys(person, "")})
    counts = rows.groupby(["person", "source"]).size().unstack(fill_value=0)
    if source is None:
        alone = counts.iloc[:, 0]
        return int((alone * (alone - 1) // 2).sum())
    return int(counts.prod(axis=1).sum())


def scored(found: Iterable[Pair], person: dict[str, str], true: int) -> Score:
    """What was found beside what is true."""
    listed = list(found)
    return Score(len(listed), sum(person[left] == person[right] for left, right in listed), true)


def closed(found: Iterable[Pair]) -> set[Pair]:
    """All pairs of the groups that pairs make."""
    groups = nx.connected_components(nx.Graph(list(found)))
    return {(left, right) for group in groups for left, right in combinations(sorted(group), 2)}


def told_set(options: argparse.Namespace) -> LabelledSet:
    """The set that the command line names: one file, or two between which links are looked for."""
    model = read_linking_model(options.model)
    parts = [read_records(file, options.id).assign(source=str(number)) for number, file in enumerate(options.records)]
    records = pd.concat(parts, ignore_index=True)
    model = model.model_copy(update={"sets": "two" if len(parts) == 2 else "one"})
    return LabelledSet(options.records[0].stem, records, records.pop(options.person), model)


def wanted_sets(options: argparse.Namespace) -> list[LabelledSet]:
    """The sets that the command line asks for."""
    if options.synthetic:
        return [synthetic(count) for count in options.synthetic]
    if options.records:
        return [told_set(options)]
    return [labelled for labelled in known_sets(options.data) if not options.only or labelled.name in options.only]


def main() -> int:
    """Link the sets and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=CHECKOUT.parent / "shared" / "data")
    parser.add_argument("--only", nargs="*", help="names of sets")
    parser.add_argument("--model", type=Path, help="a file like those in conf/linking")
    parser.add_argument("--records", type=Path, nargs="+", help="one CSV file, or two")
    parser.add_argument("--id", default="record_id", help="the column with the record's id")
    parser.add_argument("--person", default="person", help="the column with the person's")
    parser.add_argument("--synthetic", type=int, nargs="+", help="so many invented accounts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mib", type=int, default=2048)
    options = parser.parse_args()
    for labelled in wanted_sets(options):
        result = measured(labelled, resources=Resources(options.memory_mib, options.threads))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # of all sets up to here
        print(
            f"{labelled.name:10} {len(labelled.records):7,} records {result.seconds:6.1f} s {peak:6,} MiB", flush=True
        )
        print(f"{'':10} pairs:  {result.pairs}")
        print(f"{'':10} groups: {result.groups}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
