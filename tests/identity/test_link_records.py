"""Link records: accounts from the vault to links, with nothing plain in them and nothing known too early; the queue of doubtful ones."""

import datetime as dt
import json
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.identity import link_records
from jobs.identity.linking_choice import PAIR_COLUMNS
from jobs.identity.queue_reviews import as_reviews, unsure_links
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.keys import Keys
from jobs.lakehouse.linking_settings import LinkingModel, LinkingSettings
from jobs.lakehouse.settings import Settings
from tests.conftest import MakeSettings
from tests.identity.people import with_copies
from tests.lakes import conf_with, run_job, table
from tests.rows import Row, account, customer_id, frame_of, row_of

FEED = {
    "files": "members/*.csv",
    "arrival": "try_to_timestamp(told_at)",
    "fields": [
        {"name": "number", "description": "Number."},
        {"name": "name", "personal": "name", "description": "Name."},
        {"name": "phone", "personal": "phone", "description": "Phone."},
        {"name": "birth_date", "personal": "birth_date", "description": "Birth date."},
        {"name": "city", "description": "City."},
        {"name": "told_at", "description": "When it was told."},
    ],
    "tables": {
        "accounts": {
            "columns": {
                "account_id": "concat('members:', number)",
                "account_kind": "'card'",
                "registered_at": "try_to_timestamp(told_at)",
                **{f"{kind}_token": f"{kind}_token" for kind in ("name", "phone", "birth_date")},
                **{f"{kind}_masked": f"{kind}_masked" for kind in ("name", "phone")},
                "city": "city",
            }
        }
    },
}
FIRST, LATER = dt.datetime(2025, 1, 1), dt.datetime(2025, 3, 1)
PERSONS, COPIES = 120, 40


def written(folder: Path) -> pd.DataFrame:
    """The members of one feed, whose later members are earlier ones with an error, and their file in a folder."""
    (folder / "data/members").mkdir(parents=True)
    rows = pd.DataFrame(with_copies(PERSONS, COPIES, is_chinese=True))
    told = pd.DataFrame(
        {
            "number": rows["record_id"],
            "name": rows["surname"] + rows["given_name"],
            "phone": rows["phone"].map(lambda phone: f"138{phone[:8]}" if phone else ""),
            "birth_date": rows["birth_date"],
            "city": rows["town"],
            "told_at": [LATER if "copy" in number else FIRST for number in rows["record_id"]],
        }
    )
    told.to_csv(folder / "data/members/members.csv", index=False)
    return told


@pytest.fixture(scope="module")
def linked(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, pd.DataFrame]:
    from tests.lakes import settings_in

    folder = tmp_path_factory.mktemp("links")
    told = written(folder)
    settings = settings_in(folder, "club", conf_with(folder, "club", {"members": FEED}))
    for name in ("ingest.load_files", "ingest.clean_accounts", "identity.link_records"):
        run_job(spark, settings, name)
    return settings, told


def rows_of(rows: DataFrame) -> list[dict[str, object]]:
    return [row.asDict() for row in rows.collect()]


@pytest.mark.long
def test_copies_are_linked_when_the_later_one_arrived(
    spark: SparkSession, linked: tuple[Settings, pd.DataFrame]
) -> None:
    links = rows_of(table(spark, linked[0], "silver.record_links"))
    accepted = {(row["left_account_id"], row["right_account_id"]) for row in links if row["decision"] == "accept"}
    true = {(f"members:p{number:04}", f"members:p{number:04}-copy") for number in range(COPIES)}
    assert len(accepted & true) >= 0.9 * COPIES
    assert len(accepted - true) <= 1
    assert {row["arrived_at"] for row in links if "copy" in str(row["right_account_id"])} == {LATER}
    assert all(str(row["left_account_id"]) < str(row["right_account_id"]) for row in links)


@pytest.mark.long
def test_a_second_run_has_nothing_to_do_and_a_forced_one_finds_the_same(
    spark: SparkSession, linked: tuple[Settings, pd.DataFrame]
) -> None:
    settings = linked[0]
    assert run_job(spark, settings, "identity.link_records").outcome == "already done"
    before = rows_of(table(spark, settings, "silver.record_links").orderBy("left_account_id", "right_account_id"))
    assert run_job(spark, settings, "identity.link_records", force=True).outcome == "done"
    after = rows_of(table(spark, settings, "silver.record_links").orderBy("left_account_id", "right_account_id"))
    assert after == before


@pytest.mark.long
def test_no_plain_value_stands_in_what_is_written(spark: SparkSession, linked: tuple[Settings, pd.DataFrame]) -> None:
    settings, told = linked
    shown = json.dumps(
        [rows_of(table(spark, settings, name)) for name in ("silver.record_links", "ops.runs")],
        default=str, ensure_ascii=False,
    )  # fmt: skip
    for column in ("name", "phone", "birth_date"):
        assert [value for value in told[column] if value and value in shown] == []


@pytest.mark.long
def test_changed_rules_link_anew(spark: SparkSession, linked: tuple[Settings, pd.DataFrame]) -> None:
    settings = linked[0]
    assert settings.linking.rules is not None
    stricter = settings.linking.rules.model_copy(update={"accept_probability": 0.99})
    changed = settings.model_copy(update={"linking": settings.linking.model_copy(update={"rules": stricter})})
    assert run_job(spark, changed, "identity.link_records", dry_run=True).outcome == "would run"


def test_more_accounts_than_one_process_holds_are_refused(spark: SparkSession) -> None:
    told = link_records.as_first_told(
        frame_of(spark, "silver.accounts", *[account(account_id=f"a{n}", name_token=f"t{n}") for n in range(3)]),
        None,
        "UTC",
    )
    values = frame_of(spark, "vault.personal_values", row_of("vault.personal_values"))
    keys = Keys("aaaaaaaa", b"1" * 32, b"2" * 32)
    model = LinkingModel.model_validate({"columns": {"name": {"kind": "name"}}})
    with pytest.raises(ConfigurationError, match=r"linking\.most_records"):
        link_records.as_pairs(told, values, keys, model, LinkingSettings(most_records=2))


@pytest.mark.long
def test_rules_that_do_not_fit_accounts_are_told_by_file_and_key(
    spark: SparkSession, settings: MakeSettings, tmp_path: Path
) -> None:
    written(tmp_path)
    rules = {"rules": {"columns": {"email": {"kind": "text"}}}}
    made = settings("club", conf_with(tmp_path, "club", {"members": FEED}, linking=rules))
    for name in ("ingest.load_files", "ingest.clean_accounts"):
        run_job(spark, made, name)
    told = r"linking/accounts\.yaml, or linking\.rules of dataset club: columns\.email: the records tell no email, but birth_date, city"
    with pytest.raises(ConfigurationError, match=told):
        run_job(spark, made, "identity.link_records")


def test_only_what_was_told_first_counts_and_a_store_has_its_city(spark: SparkSession) -> None:
    accounts = [
        account(account_id="a", revision=1, arrived_at=FIRST, phone_token="p1", store_id="S1"),
        account(account_id="a", revision=2, arrived_at=LATER, phone_token="p2", store_id="S1"),
        account(account_id="b", revision=1, arrived_at=LATER, city="Wuhan", registered_at=dt.datetime(2025, 1, 1, 23)),
    ]
    stores = [row_of("silver.stores", store_id="S1", city="Beijing", revision=1)]
    told = link_records.as_first_told(
        frame_of(spark, "silver.accounts", *accounts), frame_of(spark, "silver.stores", *stores), "Asia/Shanghai"
    )
    found = {row.account_id: (row.phone_token, row.city, row.registered_on) for row in told.collect()}
    assert found == {"a": ("p1", "Beijing", None), "b": (None, "Wuhan", "2025-01-02")}


def test_a_link_is_known_when_its_later_account_is(spark: SparkSession) -> None:
    accounts = [account(account_id=name, arrived_at=at) for name, at in (("a", FIRST), ("b", LATER), ("c", FIRST))]
    told = link_records.as_first_told(frame_of(spark, "silver.accounts", *accounts), None, "UTC")
    pairs = spark.createDataFrame(
        pd.DataFrame([("a", "b", 0.7, 1.2, "review"), ("a", "c", 0.99, 7.0, "accept")], columns=PAIR_COLUMNS),
        link_records.PAIR_SCHEMA,
    )
    model = LinkingModel.model_validate({"columns": {"name": {"kind": "name"}}})
    links = link_records.as_record_links(pairs, told, model)
    assert {(row.right_account_id, row.arrived_at) for row in links.collect()} == {("b", LATER), ("c", FIRST)}


def test_a_pair_is_seen_again_where_either_tells_the_same(spark: SparkSession) -> None:
    said, gone = {"name_token": "n", "phone_token": "p"}, LATER + dt.timedelta(days=9)
    accounts = [
        account(account_id="a", **said, arrived_at=FIRST, _record_id="a1"),
        account(account_id="a", revision=2, **said, arrived_at=FIRST + dt.timedelta(days=1)),
        account(account_id="a", revision=3, **said, arrived_at=LATER + dt.timedelta(days=2)),
        account(account_id="a", revision=4, **said, arrived_at=gone, superseded_at=gone),
        account(account_id="b", name_token="n", city="Wuhan", arrived_at=LATER, _record_id="b1"),
        account(account_id="b", revision=2, name_token="n", city="Wuhan", arrived_at=LATER + dt.timedelta(days=1)),
        account(account_id="b", revision=3, name_token="m", city="Wuhan", arrived_at=LATER + dt.timedelta(days=3)),
        account(account_id="c", name_token="n", arrived_at=LATER + dt.timedelta(days=5), _record_id="c1"),
    ]
    told = frame_of(spark, "silver.accounts", *accounts)
    first = link_records.as_first_told(told, None, "UTC")
    pairs = pd.DataFrame([("a", "b", 0.99, 7.0, "accept"), ("b", "c", 0.99, 7.0, "accept")], columns=PAIR_COLUMNS)
    model = LinkingModel.model_validate({"columns": {"name": {"kind": "name"}}})
    links = link_records.as_record_links(spark.createDataFrame(pairs, link_records.PAIR_SCHEMA), first, model)
    found = link_records.with_sightings(links, told).collect()
    assert {(row.right_account_id, row.last_seen_at, row.seen_count, row._record_id) for row in found} == {
        ("b", LATER + dt.timedelta(days=2), 3, "b1"),
        ("c", LATER + dt.timedelta(days=5), 1, "c1"),
    }, "neither before both are known, nor by a deletion, nor by what tells otherwise"


def a_link(one: str, other: str, probability: float, decision: str = "review", rules: str = "r1") -> Row:
    return row_of(
        "silver.record_links", left_account_id=one, right_account_id=other, match_probability=probability,
        decision=decision, linking_rules=rules, match_weight=probability,
    )  # fmt: skip


def test_a_pair_keeps_its_probability_while_the_same_is_decided_by_the_same_rules(spark: SparkSession) -> None:
    before = [a_link("a", "b", 0.61), a_link("a", "c", 0.89), a_link("a", "d", 0.7, rules="r0")]
    now = [a_link("a", "b", 0.62), a_link("a", "c", 0.91, "accept"), a_link("a", "d", 0.71), a_link("a", "e", 0.8)]
    frames = [frame_of(spark, "silver.record_links", *rows) for rows in (now, before)]
    found = {
        row.right_account_id: row.match_probability for row in link_records.with_kept_probabilities(*frames).collect()
    }
    assert found == {"b": 0.61, "c": 0.91, "d": 0.71, "e": 0.8}


def test_the_queue_holds_what_is_doubtful_not_joined_and_not_answered(spark: SparkSession) -> None:
    names = ("a", "doubtful", "weak member", "sure", "joined", "answered", "taken back")
    accounts = [account(account_id=name, name_masked=f"{name[0]}*", city="Wuhan") for name in names]
    told = link_records.as_first_told(frame_of(spark, "silver.accounts", *accounts), None, "UTC")
    links = [a_link("a", "weak member", 0.8, "accept"), a_link("a", "sure", 0.95, "accept")]
    links += [a_link("a", name, 0.7) for name in ("doubtful", "joined", "answered", "taken back")]
    ids = [customer_id(customer_id="a" if name == "joined" else name, identifier_value=name) for name in names]
    words = [("answered", "never", FIRST), ("taken back", "always", FIRST), ("taken back", "as_found", LATER)]
    said = [
        row_of("ops.identity_overrides", account_id=name, other_account_id="a", decision=decision, made_at=at)
        for name, decision, at in words
    ]
    queue = as_reviews(
        unsure_links(frame_of(spark, "silver.record_links", *links), 0.9), told,
        frame_of(spark, "silver.customer_ids", *ids), frame_of(spark, "ops.identity_overrides", *said),
    )  # fmt: skip
    found = {
        row.right_account_id: (row.left_name_masked, row.right_name_masked, row.right_city) for row in queue.collect()
    }
    assert found == {name: ("a*", f"{name[0]}*", "Wuhan") for name in ("doubtful", "weak member", "taken back")}


@pytest.mark.long
def test_a_dataset_without_names_gets_empty_tables(spark: SparkSession, settings: MakeSettings, tmp_path: Path) -> None:
    told = written(tmp_path)[["number", "city", "told_at"]]
    told.to_csv(tmp_path / "data/members/members.csv", index=False)
    columns = {"account_id": "concat('members:', number)", "account_kind": "'card'", "city": "city"}
    feed = {
        **FEED,
        "fields": [field for field in FEED["fields"] if "personal" not in field],
        "tables": {"accounts": {"columns": columns}},
    }
    nameless = settings("club", conf_with(tmp_path, "club", {"members": feed}))
    for name in ("ingest.load_files", "ingest.clean_accounts", "identity.link_records"):
        run_job(spark, nameless, name)
    assert table(spark, nameless, "silver.record_links").isEmpty()
