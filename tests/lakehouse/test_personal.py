"""Tokens and seals: neither plan, table nor dictionary gives a personal value back, the key alone does."""

import base64
import hashlib
import hmac

import pyarrow as pa
import pytest
from cryptography.exceptions import InvalidTag
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse import personal
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.personal import keyed, opened, sealed, token_of, tokenised
from jobs.lakehouse.personal_kinds import KINDS
from jobs.lakehouse.settings import PrivacySettings


def test_kinds_and_keys_keep_tokens_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = load_keys(PrivacySettings(), "local")
    monkeypatch.setenv("LAKEHOUSE_KEY", "5a" * 32)
    others = load_keys(PrivacySettings(), "local")
    tokens = {token_of(chosen, kind, "13812345678") for chosen in (keys, others) for kind in KINDS}
    assert len(tokens) == 2 * len(KINDS)
    assert {token.partition(":")[0] for token in tokens} == {keys.key_id, others.key_id}


def test_a_dictionary_of_plain_hashes_finds_no_phone_and_one_with_the_key_does() -> None:
    keys = load_keys(PrivacySettings(), "local")
    phone = "+8613812345678"
    body = token_of(keys, "phone", phone).partition(":")[2]
    guesses = [f"+86138{number:08d}" for number in range(12_340_000, 12_350_000)]
    assert phone in guesses
    spelled = [text for guess in guesses for text in (guess, guess[1:], guess[3:], f"phone\0{guess}")]
    plain = {
        hashlib.new(name, text.encode()).hexdigest()[: len(body)] for name in ("sha256", "md5") for text in spelled
    }
    unkeyed = {hmac.digest(b"", text.encode(), "sha256").hex()[: len(body)] for text in spelled}
    by_id = {hmac.digest(keys.key_id.encode(), text.encode(), "sha256").hex()[: len(body)] for text in spelled}
    assert body not in plain | unkeyed | by_id
    assert body in {token_of(keys, "phone", guess).partition(":")[2] for guess in guesses}, "the attack itself works"


def test_rows_get_token_mask_and_sealed_value_and_no_plan_shows_the_key(spark: SparkSession) -> None:
    keys = load_keys(PrivacySettings(), "local")
    people = spark.createDataFrame(
        [(1, "138 1234 5678"), (2, None), (3, "+8613812345678"), (4, "  "), (5, "13900000000")], "id int, phone string"
    )
    tokens = people.select("id", tokenised(keys, "phone", F.col("phone"), "CN").alias("made")).select("id", "made.*")
    found = {row["id"]: row for row in tokens.collect()}
    assert found[1][1:3] == found[3][1:3] == (token_of(keys, "phone", "+8613812345678"), "138****5678")
    assert found[2][1:] == found[4][1:] == (None, None, None)
    assert found[5]["token"] != found[1]["token"]
    for number, phone in ((1, "+8613812345678"), (3, "+8613812345678"), (5, "+8613900000000")):
        assert opened(keys, bytes(found[number]["ciphertext"]), found[number]["token"]) == phone
    plan = tokens._jdf.queryExecution().toString()
    assert "phone" in plan, "this is a plan"
    for secret in (keys.token_key, keys.vault_key):
        for shown in (secret.hex(), repr(secret)[2:-1], base64.b64encode(secret).decode(), str(list(secret))[1:-1]):
            assert shown not in plan


def test_a_value_is_sealed_in_the_batch_in_which_a_task_meets_it(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = load_keys(PrivacySettings(), "local")
    rows = spark.range(0, 1000, 1, 1).select(
        "id", F.concat(F.lit("device "), (F.col("id") % 7).cast("string")).alias("d")
    )
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "100")
    try:
        columns = {
            "device": ("device_id", F.col("d")),
            "line": (None, F.col("d")),
            "none": ("email", F.lit(None).cast("string")),
        }
        made = rows.select("id", "d", keyed(keys, columns, "CN").alias("m")).select("id", "d", "m.*").collect()  # type: ignore[arg-type]
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    assert all(row["device"]["token"] == token_of(keys, "device_id", row["d"]) for row in made)
    assert {row["device"]["masked"] for row in made} == {"***"}
    sealed_rows = [row for row in made if row["device"]["ciphertext"] is not None]
    assert {row["id"] for row in sealed_rows} == set(range(100)), (
        "the first batch has every value, later ones seal nothing"
    )
    assert all(
        opened(keys, bytes(row["device"]["ciphertext"]), row["device"]["token"]) == row["d"] for row in sealed_rows
    )
    assert len({row["line"] for row in made}) == 7
    assert {row["none"] for row in made} == {None}
    monkeypatch.setattr(personal, "MOST_REMEMBERED", 0)
    tokens = personal._tokens(keys, "device_id", "CN")
    again = [tokens(pa.array(["a device", None])).to_pylist() for _ in range(3)]
    assert {len(bytes(one["ciphertext"] or b"")) > 0 for one, _ in again} == {True, False}, (
        "what was forgotten is sealed again"
    )
    assert {one["token"] for one, _ in again} == {token_of(keys, "device_id", "a device")}


def test_a_sealed_value_opens_by_its_key_for_its_row_only(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = load_keys(PrivacySettings(), "local")
    values = spark.createDataFrame([("t1", "王小明"), ("t2", "O'Neil"), ("t1", "王小明")], "token string, plain string")
    rows = {row["token"]: bytes(row["_ciphertext"]) for row in sealed(values, keys, "plain", "token").collect()}
    assert {token: opened(keys, ciphertext, token) for token, ciphertext in rows.items()} == {
        "t1": "王小明",
        "t2": "O'Neil",
    }
    assert "王小明".encode() not in rows["t1"]
    with pytest.raises(InvalidTag):
        opened(keys, rows["t1"], "t2")
    with pytest.raises(InvalidTag):
        opened(keys, rows["t1"][:-1] + bytes([rows["t1"][-1] ^ 1]), "t1")
    monkeypatch.setenv("LAKEHOUSE_KEY", "5a" * 32)
    with pytest.raises(InvalidTag):
        opened(load_keys(PrivacySettings(), "local"), rows["t1"], "t1")
