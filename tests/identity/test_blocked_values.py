"""Values that the settings block, in the spelling of those who write settings, from the raw files to the fate of their links."""

from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.settings import Settings
from tests.lakes import conf_with, run_job, settings_in, table

pytestmark = pytest.mark.long

TOLD = ("member_id", "told_at")
PERSONAL = {"phone": "phone", "email": "email", "device": "device_id", "messenger": "open_id"}
FIELDS = [
    *[{"name": name, "description": f"{name}."} for name in TOLD],
    *[{"name": name, "description": f"{name}.", "personal": kind} for name, kind in PERSONAL.items()],
]
MEMBERS = {
    "files": "members/*.csv",
    "arrival": "try_to_timestamp(told_at)",
    "fields": FIELDS,
    "tables": {
        "accounts": {
            "columns": {
                "account_id": "concat('members:', member_id)",
                "account_kind": "'account'",
                "phone_token": "phone_token",
                "email_token": "email_token",
                "open_id_token": "messenger_token",
            }
        },
        "events": {
            "columns": {
                "event_id": "member_id",
                "event_type": "'track'",
                "event_name": "'Product Viewed'",
                "account_id": "concat('members:', member_id)",
                "device_token": "device_token",
                "event_at": "try_to_timestamp(told_at)",
            }
        },
    },
}
# A value of each kind as a person writes it, as the files tell it, and one that is like it and is not blocked.
VALUES = {
    "phone": ("138 1234 5678", "+8613812345678", "13812345679"),
    "email": ("Test@Example.COM", "test@example.com", "test2@example.com"),
    "device": ("6D92078A-8246-4BA4-AE5B-76104861E7DC", "6d92078a82464ba4ae5b76104861e7dc", "7d92078a82464ba4ae5b76104861e7dc"),
    "open_id": (" oX-4shopTablet ", "oX-4shopTablet", "oX-4shoptablet"),
}  # fmt: skip
JOBS = ("ingest.load_files", "ingest.clean_accounts", "ingest.clean_events", "ingest.collect_identifiers")


@pytest.fixture(scope="module")
def settings(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake in which two accounts share what is blocked, and two others what is like it."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "data/members").mkdir(parents=True)
    rows = [",".join((*TOLD, *PERSONAL))]
    for place, told in enumerate((1, 1, 2, 2)):
        values = (VALUES[kind][told] for kind in ("phone", "email", "device", "open_id"))
        rows.append(",".join((str(place), f"2025-01-0{place + 1}T00:00:00Z", *values)))
    (folder / "data/members/one.csv").write_text("\n".join(rows) + "\n", "utf-8")
    blocked: dict[str, Any] = {kind: {"blocked_values": [plain]} for kind, (plain, _, _) in VALUES.items()}
    conf_dir = conf_with(
        folder / "conf", "shop", {"members": MEMBERS},
        calendar={"phone_region": "CN"}, identity={"links": blocked},
    )  # fmt: skip
    made = settings_in(folder, "shop", conf_dir)
    for job in (*JOBS, "identity.resolve_customers"):
        run_job(spark, made, job)
    return made


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_that_is_blocked_in_plain_spelling_joins_nobody(
    spark: SparkSession, settings: Settings, kind: str
) -> None:
    edges = table(spark, settings, "silver.identity_edges").where(f"rule = '{kind}'").collect()
    fates = {row["account_id"]: row["refusal_reason"] for row in edges}
    assert {account for account, fate in fates.items() if fate == "blocked_value"} == {"members:0", "members:1"}
    assert {*fates} == {f"members:{place}" for place in range(4)}


def test_accounts_that_share_blocked_values_alone_are_two_customers(spark: SparkSession, settings: Settings) -> None:
    held = table(spark, settings, "silver.customer_ids").where("identifier_kind = 'account' and valid_to is null")
    owner = {row["identifier_value"]: row["customer_id"] for row in held.collect()}
    assert owner["members:0"] != owner["members:1"]
    assert owner["members:2"] == owner["members:3"], "what is like a blocked value joins"
