"""At the door: a customer explained, two accounts separated and joined by a person's word, and the history that tells of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.__main__ import main
from jobs.lakehouse.settings import Settings
from tests.lakes import conf_with, named_job, run_job, settings_in, table

pytestmark = pytest.mark.long

MEMBERS = {
    "files": "members/*.csv",
    "arrival": "try_to_timestamp(told_at)",
    "fields": [
        {"name": "member_id", "description": "Number."},
        {"name": "name", "description": "Name.", "personal": "name"},
        {"name": "phone", "description": "Phone.", "personal": "phone"},
        {"name": "told_at", "description": "When it was told."},
    ],
    "tables": {
        "accounts": {
            "columns": {
                "account_id": "concat('members:', member_id)",
                "account_kind": "'account'",
                "name_token": "name_token",
                "phone_token": "phone_token",
            }
        }
    },
}
CLICKS = {
    "files": "clicks/*.csv",
    "arrival": "try_to_timestamp(at)",
    "fields": [{"name": name, "description": f"{name}."} for name in ("click_id", "member_id", "device", "at")],
    "tables": {
        "events": {
            "columns": {
                "event_id": "click_id",
                "event_type": "'track'",
                "event_name": "'Product Viewed'",
                "account_id": "concat('members:', member_id)",
                "device_token": "device",
                "event_at": "try_to_timestamp(at)",
            }
        }
    },
}
JOBS = ("ingest.load_files", "ingest.clean_accounts", "ingest.clean_events", "ingest.collect_identifiers")
RESOLVE = "identity.resolve_customers"
Door = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def settings(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake in which Mei's two accounts share a phone with her mother's, and a click tells of a tablet."""
    folder = tmp_path_factory.mktemp("door")
    for name in ("members", "clicks"):
        (folder / "data" / name).mkdir(parents=True)
    told = [
        "member_id,name,phone,told_at",
        "1,王梅,13812345678,2025-01-01T00:00:00Z",
        "2,王梅,13812345678,2025-01-02T00:00:00Z",
    ]
    told += ["3,李兰,13812345678,2025-01-03T00:00:00Z", "4,赵云,13900000000,2025-01-03T00:00:00Z"]
    (folder / "data/members/one.csv").write_text("\n".join(told) + "\n", "utf-8")
    (folder / "data/clicks/one.csv").write_text(
        "click_id,member_id,device,at\nk1,1,tablet,2025-02-01T00:00:00Z\n", "utf-8"
    )
    conf_dir = conf_with(folder / "conf", "shop", {"members": MEMBERS, "clicks": CLICKS})
    # Of four accounts any share is large; here an increment is wanted all the same.
    made = settings_in(folder, "shop", conf_dir, {"identity.max_touched_share": 0.9})
    for job in (*JOBS, RESOLVE):
        run_job(spark, made, job)
    return made


@pytest.fixture
def door(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Door:
    place = ["--dataset", "shop", "--conf-dir", settings.conf_dir, "--lake", settings.path("lake")]

    def ask(*words: str) -> tuple[int, str]:
        code = main(["identity", *words, *place])
        told = capsys.readouterr()
        return code, told.out + told.err

    return ask


def customers(spark: SparkSession, settings: Settings) -> dict[str, str]:
    """The customer of each account now."""
    held = table(spark, settings, "silver.customer_ids").where("identifier_kind = 'account' and valid_to is null")
    return {row["identifier_value"]: row["customer_id"] for row in held.collect()}


def rows_of(spark: SparkSession, settings: Settings) -> dict[str, list[str]]:
    """The rows of all tables that identity writes."""
    return {name: sorted(map(repr, table(spark, settings, name).collect())) for name in named_job(RESOLVE).writes}


def test_a_persons_word_is_obeyed_and_can_be_taken_back(spark: SparkSession, settings: Settings, door: Door) -> None:
    first = customers(spark, settings)
    assert first["members:1"] == first["members:2"] != first["members:3"]
    code, told = door("explain", first["members:1"])
    assert code == 0
    lines = told.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["members:1", "phone"],
        ["members:2", "phone"],
        ["members:1", "device"],
    ]
    assert "13812345678" not in told
    why = ("--who", "care desk", "--why", "two sisters of one name")
    assert door("separate", "members:2", "members:1", *why)[0] == 0
    assert door("join", "members:2", "members:3", *why)[0] == 0
    result = run_job(spark, settings, RESOLVE)
    assert result.record is not None
    assert result.record.message == "identity: 3 of 4 accounts anew"
    apart = customers(spark, settings)
    assert apart["members:2"] == apart["members:3"] != apart["members:1"]
    assert apart["members:1"] == first["members:1"], "the older goes on under the id"
    changes = table(spark, settings, "silver.identity_changes").where("cause = 'override'").collect()
    assert {row["change_kind"] for row in changes} == {"merge", "split"}
    assert door("as-found", "members:1", "members:2", *why)[0] == 0
    assert door("as-found", "members:3", "members:2", *why)[0] == 0
    run_job(spark, settings, RESOLVE)
    again = customers(spark, settings)
    assert again["members:1"] == again["members:2"] == first["members:1"], (
        "the two are one as they were, under their id"
    )
    assert again["members:3"] in {first["members:3"], apart["members:3"]}, (
        "and the third goes by an id that was its own"
    )
    increment = rows_of(spark, settings)
    result = run_job(spark, settings, RESOLVE, force=True)
    assert result.record is not None
    assert result.record.message.startswith("identity: all accounts anew")
    assert rows_of(spark, settings) == increment


def test_a_page_about_all_customers(spark: SparkSession, settings: Settings, door: Door, tmp_path: Path) -> None:
    file = tmp_path / "pages" / "audit.html"
    code, told = door("audit", "--output", str(file))
    assert (code, file.exists()) == (5, False)
    assert "run python -m jobs run audit_customers first" in told
    run_job(spark, settings, "identity.audit_customers")
    code, told = door("audit", "--output", str(file))
    assert code == 0
    assert str(file) in told
    shown = file.read_text("utf-8")
    assert "<b>4</b><span>accounts, cards and contacts" in shown
    assert "<b>3</b><span>customers that they belong to" in shown
    assert "13812345678" not in shown


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("explain", "c-0000000000000000"), 5, "is not known"),
        (("join", "members:1", "members:9", "--who", "x", "--why", "y"), 2, "members:9 is no account of the lake"),
        (("separate", "members:1", "members:1", "--who", "x", "--why", "y"), 2, "name two different accounts"),
    ],
)
def test_what_cannot_be_is_told(door: Door, words: Any, code: int, told: str) -> None:
    found, answer = door(*words)
    assert found == code
    assert told in answer
