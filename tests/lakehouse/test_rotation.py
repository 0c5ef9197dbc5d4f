"""Rotation of the key: joins and customers stay, nothing keeps the old key, and a rotation that was killed is taken up again."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.__main__ import main
from jobs.lakehouse import rotation
from jobs.lakehouse.errors import ConfigurationError, DataError
from jobs.lakehouse.keys import Keys, load_keys
from jobs.lakehouse.needles import needles_of
from jobs.lakehouse.personal import opened, token_of
from jobs.lakehouse.rotation import rotate, with_new_tokens
from jobs.lakehouse.scan import scan
from jobs.lakehouse.settings import PrivacySettings, Settings
from jobs.lakehouse.tables import Lake, Write, write_table
from tests.lakes import KEY, conf_with, ledger_of, run_job, settings_in, table

pytestmark = [pytest.mark.long, pytest.mark.soak]

NEW_KEY = "5a" * 32
JOBS = (
    "ingest.load_files",
    "ingest.clean_accounts",
    "ingest.clean_events",
    "ingest.clean_order_lines",
    "ingest.collect_identifiers",
    "ingest.collect_orders",
    "identity.resolve_customers",
)
WITH_TOKENS = (
    "bronze.orders",
    "ops.identity_overrides",
    "silver.accounts",
    "silver.customer_ids",
    "silver.identifiers",
    "silver.identity_components",
    "silver.identity_edges",
    "silver.order_lines",
    "silver.order_lines_rejected",
    "silver.orders",
    "vault.personal_values",
)
FIELDS = ("order_no", "ordered_at", "phone", "email", "quantity", "price", "exported_at")
FEED: dict[str, Any] = {
    "files": "orders/*.csv",
    "arrival": "try_to_timestamp(exported_at)",
    "fields": [
        {"name": name, "description": f"{name}.", **({"personal": name} if name in ("phone", "email") else {})}
        for name in FIELDS
    ],
    "tables": {
        "order_lines": {
            "columns": {
                "order_line_id": "order_no",
                "order_id": "order_no",
                "account_id": "concat('contact:', coalesce(email_token, phone_token))",
                "store_id": "'s1'",
                "channel": "'online'",
                "product_id": "'p1'",
                "ordered_at": {"local": "ordered_at"},
                "line_kind": "'product'",
                "quantity": "quantity",
                "unit_price_amount": "price",
                "currency_code": "'CNY'",
            }
        },
        "accounts": {
            "where": "coalesce(email_token, phone_token) is not null",
            "columns": {
                "account_id": "concat('contact:', coalesce(email_token, phone_token))",
                "account_kind": "'contact'",
                "phone_token": "phone_token",
                "phone_masked": "phone_masked",
                "email_token": "email_token",
                "email_masked": "email_masked",
            },
        },
    },
}


# Its phone stands in a field that is not personal, and its line is too long.
TORN = "torn,13812341111,,,2,3,4,5,6,7,8"


def order(number: int, phone: str, email: str, **overrides: str) -> str:
    """A line of the feed; all arrive at once, so that ties decide who is first."""
    base = dict.fromkeys(FIELDS, "") | {"ordered_at": "2025-01-01 12:00:00", "quantity": "1", "price": "2.50"}
    told = {"order_no": f"o{number}", "exported_at": "2025-01-02 00:00:00", "phone": phone, "email": email}
    row = base | told | overrides
    return ",".join(row[name] for name in FIELDS)


def orders() -> list[str]:
    """Guests who come by phone, by mail or by both, some of them again, and rows with dirt."""
    phones = [f"138{number % 29:08d}" if number % 3 else "" for number in range(493)]
    mails = [f"guest{number % 17}@example.com" if number % 4 == 0 else "" for number in range(493)]
    known = [order(number, phone, mail) for number, (phone, mail) in enumerate(zip(phones, mails, strict=True))]
    return [*known, order(900, "13812340000", "bad@example.com", price="abc"), TORN]


def keys_of(secret: str) -> Keys:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEHOUSE_KEY", secret)
        return load_keys(PrivacySettings(), "local")


OLD, NEW = keys_of(KEY), keys_of(NEW_KEY)
PLAIN = {
    "phone": [f"+86138{n:08d}" for n in range(29)] + ["+8613812340000"],
    "email": [f"guest{n}@example.com" for n in range(17)] + ["bad@example.com"],
}
MAPPED = {
    token_of(OLD, kind, value): token_of(NEW, kind, value)  # type: ignore[arg-type]
    for kind, values in PLAIN.items()
    for value in values
}


def with_keys_mapped(text: str) -> str:
    """The text with each token of the old key replaced as an oracle that knows all values would."""
    return re.sub(f"{OLD.key_id}:[0-9a-f]{{32}}", lambda token: MAPPED[token[0]], text)


@pytest.fixture(scope="module")
def before(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake under the old key."""
    folder = tmp_path_factory.mktemp("before")
    conf_dir = conf_with(folder, "guests", {"orders": FEED}, calendar={"phone_region": "CN"})
    (folder / "data/orders").mkdir(parents=True)
    (folder / "data/orders/first.csv").write_text("\n".join([",".join(FIELDS), *orders()]), "utf-8")
    settings = settings_in(folder, "guests", conf_dir)
    for name in JOBS:
        run_job(spark, settings, name)
    # A person knows of two customers that they are one.
    pair = list(
        {customer: name for name, customer in customers(spark, settings).items() if "contact:" in name}.values()
    )[:2]
    place = ["--dataset", "guests", "--conf-dir", settings.conf_dir, "--lake", settings.path("lake")]
    assert main(["identity", "join", *pair, "--who", "clerk", "--why", "told so", *place]) == 0
    run_job(spark, settings, JOBS[-1])
    assert len({customers(spark, settings)[name] for name in pair}) == 1
    return settings


def copied(settings: Settings, folder: Path) -> Settings:
    """The same lake and deliveries in a folder of their own."""
    for name in ("lake", "data"):
        shutil.copytree(settings.path(name), folder / name)
    return settings_in(folder, "guests", Path(settings.conf_dir))


@pytest.fixture(scope="module")
def after(spark: SparkSession, before: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The lake under the new key."""
    settings = copied(before, tmp_path_factory.mktemp("after"))
    outputs = rotate(spark, settings, OLD, NEW)
    assert {output.table for output in outputs} == {*WITH_TOKENS, "vault.payloads"}
    assert rotate(spark, settings, OLD, NEW) == [], "all is done"
    return settings


def told(spark: SparkSession, settings: Settings, name: str, *left_out: str) -> list[str]:
    """The rows of a table as sorted texts."""
    rows = table(spark, settings, name).drop("_ciphertext", "origin", "key_id", *left_out)
    return sorted(row["told"] for row in rows.select(F.to_json(F.struct("*")).alias("told")).collect())


def deliver(settings: Settings, name: str, *rows: str) -> None:
    (Path(settings.path("data")) / f"orders/{name}.csv").write_text("\n".join([",".join(FIELDS), *rows]), "utf-8")


def customers(spark: SparkSession, settings: Settings) -> dict[str, str]:
    """The customer of each account and identifier as of now."""
    current = table(spark, settings, "silver.customer_ids").where("valid_to is null").collect()
    return {row["identifier_value"]: row["customer_id"] for row in current}


def test_the_lake_has_tokens_everywhere_before(spark: SparkSession, before: Settings) -> None:
    for name in WITH_TOKENS:
        assert any(OLD.key_id in row for row in told(spark, before, name)), name
    accounts = [name for name in customers(spark, before) if name.startswith("contact:")]
    assert len({*customers(spark, before).values()}) < len(accounts), "some guests are one by phone or mail"


@pytest.mark.parametrize("name", WITH_TOKENS)
def test_every_token_is_that_of_the_same_value_and_nothing_else_changes(
    spark: SparkSession, before: Settings, after: Settings, name: str
) -> None:
    assert told(spark, after, name) == sorted(with_keys_mapped(row) for row in told(spark, before, name))
    assert not [row for row in told(spark, after, name) if OLD.key_id in row]


def test_customer_ids_stay(spark: SparkSession, before: Settings, after: Settings) -> None:
    expected = {with_keys_mapped(value): customer for value, customer in customers(spark, before).items()}
    assert customers(spark, after) == expected


def test_the_vault_opens_by_the_new_key_alone(spark: SparkSession, before: Settings, after: Settings) -> None:
    values = table(spark, after, "vault.personal_values").collect()
    assert {(row["kind"], opened(NEW, bytes(row["_ciphertext"]), row["token"])) for row in values} == {
        (kind, value) for kind, known in PLAIN.items() for value in known
    }
    assert {row["key_id"] for row in values} == {NEW.key_id}
    (payload,) = table(spark, after, "vault.payloads").collect()
    assert opened(NEW, bytes(payload["_ciphertext"]), payload["record_id"]) == orders()[-1]
    with pytest.raises(InvalidTag):
        opened(OLD, bytes(values[0]["_ciphertext"]), values[0]["token"])
    assert not (Path(after.path("lake")) / "_staging/lakehouse.rotate_keys/tokens").exists()


def test_no_plain_value_was_left_by_it(after: Settings) -> None:
    needles = needles_of([(kind, value) for kind, values in PLAIN.items() for value in values])  # type: ignore[misc]
    report = scan([Path(after.path("lake"))], needles)
    assert report.findings == ()
    assert report.undecoded == ()


def test_the_ledger_names_the_new_versions(spark: SparkSession, after: Settings) -> None:
    rows = table(spark, after, "ops.runs").where("job = 'lakehouse.rotate_keys'").collect()
    assert [(row["outcome"], row["message"]) for row in rows] == [
        ("succeeded", f"key {OLD.key_id} replaced by {NEW.key_id}")
    ]
    assert {entry["table"] for entry in rows[0]["outputs"]} == {*WITH_TOKENS, "vault.payloads"}


def test_rebuilding_and_new_deliveries_find_the_same_customers(
    spark: SparkSession, after: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = copied(after, tmp_path)
    ids, lines = (
        told(spark, settings, "silver.customer_ids", "_component_id"),
        told(spark, settings, "silver.order_lines"),
    )
    deliver(settings, "second", order(70, "138 1234 0000", "new@example.com", exported_at="2025-02-01 00:00:00"))
    with pytest.raises(ConfigurationError, match=f"made by key {NEW.key_id}, not by {OLD.key_id}.*rotate-keys"):
        run_job(spark, settings, "ingest.load_files")
    monkeypatch.setenv("LAKEHOUSE_KEY", NEW_KEY)
    for name in JOBS[1:]:
        run_job(spark, settings, name)
    assert told(spark, settings, "silver.customer_ids", "_component_id") == ids, (
        "rebuilt from bronze, the rotation shows nowhere"
    )
    assert told(spark, settings, "silver.order_lines") == lines
    for name in JOBS:
        run_job(spark, settings, name)
    found = customers(spark, settings)
    # Other phones are shared by more accounts than one phone may join.
    known = found[token_of(NEW, "phone", "+8613812340000")]
    assert found["contact:" + token_of(NEW, "email", "new@example.com")] == known
    assert known == customers(spark, after)[token_of(NEW, "phone", "+8613812340000")]


def test_a_rotation_that_is_killed_before_each_of_its_commits_ends_alike(
    spark: SparkSession, before: Settings, after: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt makes one commit and dies at the next, the last one at the ledger."""
    settings, attempts = copied(before, tmp_path), 0

    class KilledError(BaseException):
        """What no handler catches."""

    def dying(after_commits: int) -> Callable[..., None]:
        left = [after_commits]

        def commit(*arguments: Any, **named: Any) -> None:
            if not left[0]:
                raise KilledError
            left[0] -= 1
            write_table(*arguments, **named)

        return commit

    def dying_ledger(*arguments: Any, **named: Any) -> None:
        raise KilledError

    good = ledger_of(spark, settings).good_versions()
    for attempt in range(20):
        attempts = attempt
        monkeypatch.setattr(rotation, "write_table", dying(1))
        monkeypatch.setattr(rotation, "record_change", dying_ledger)
        with pytest.raises(KilledError):
            rotate(spark, settings, OLD, NEW)
        assert ledger_of(spark, settings).good_versions() == good, "jobs read what was there before"
        if not table(spark, settings, "vault.payloads").where(F.col("key_id") == OLD.key_id).count():
            break
    assert attempts >= len(WITH_TOKENS) - 1
    monkeypatch.undo()
    outputs = rotate(spark, settings, OLD, NEW)
    assert {output.table for output in outputs} == {*WITH_TOKENS, "vault.payloads"}
    for name in WITH_TOKENS:
        assert told(spark, settings, name) == told(spark, after, name), name


def test_what_cannot_be_rotated_is_refused_and_stays(
    spark: SparkSession, before: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = copied(before, tmp_path)
    other = keys_of("77" * 32)
    with pytest.raises(ConfigurationError, match="they are the same"):
        rotate(spark, settings, OLD, OLD)
    with pytest.raises(ConfigurationError, match=f"sealed by key {OLD.key_id}"):
        rotate(spark, settings, other, NEW)
    forged = Keys(OLD.key_id, other.token_key, other.vault_key)
    with pytest.raises(ConfigurationError, match="does not open"):
        rotate(spark, settings, forged, NEW)
    path = Lake(settings.path("lake")).path("vault.personal_values")
    some = table(spark, settings, "vault.personal_values").where("kind = 'email'")
    write_table(some, path, Write(), (), "lost")
    with pytest.raises(DataError, match=r"hold tokens of key .* that the vault does not know"):
        rotate(spark, settings, OLD, NEW)
    place = ["--dataset", "guests", "--conf-dir", settings.conf_dir, "--lake", settings.path("lake")]
    assert main(["rotate-keys", *place]) == 2, "no old key"


def test_the_command_rotates(
    spark: SparkSession,
    before: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = copied(before, tmp_path)
    place = ["--dataset", "guests", "--conf-dir", settings.conf_dir, "--lake", settings.path("lake")]
    old_file = tmp_path / "old.key"
    old_file.write_text(KEY, "ascii")
    monkeypatch.setenv("LAKEHOUSE_KEY", NEW_KEY)
    monkeypatch.setenv("LAKEHOUSE_OLD_KEY_FILE", str(old_file))
    old_file.chmod(0o644)
    assert main(["rotate-keys", *place]) == 2, "others can read the old key"
    old_file.chmod(0o600)
    assert main(["rotate-keys", *place]) == 0
    said = capfd.readouterr().out
    assert f"key {OLD.key_id} was replaced by {NEW.key_id}" in said
    assert main(["rotate-keys", *place]) == 0
    assert f"already done: the lake's key is {NEW.key_id}" in capfd.readouterr().out


def test_every_token_of_a_text_is_replaced_and_strange_ones_stay(spark: SparkSession) -> None:
    one, two, strange = (f"aaaaaaaa:{n:032x}" for n in (1, 2, 3))
    other = f"bbbbbbbb:{1:032x}"
    tokens = spark.createDataFrame([(one, "cccccccc:1"), (two, "cccccccc:2")], "old_token string, token string")
    rows = spark.createDataFrame(
        [(1, json.dumps([one, two, one]), one), (2, f"contact:{strange}", None), (3, other, "x"), (4, None, "")],
        "n int, record string, token string",
    )
    made = {row["n"]: (row["record"], row["token"]) for row in with_new_tokens(rows, tokens, "aaaaaaaa").collect()}
    assert made == {
        1: (json.dumps(["cccccccc:1", "cccccccc:2", "cccccccc:1"]), "cccccccc:1"),
        2: (f"contact:{strange}", None),
        3: (other, "x"),
        4: (None, ""),
    }
    untouched = rows.where("n > 2")
    assert with_new_tokens(untouched, tokens, "aaaaaaaa") is untouched
