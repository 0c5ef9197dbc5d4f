"""Personal values: one person's spellings give one token, and neither plan, table nor dictionary gives the value back."""

import base64
import hashlib
import hmac
import unicodedata

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.personal import PersonalKind, masked, normalised, opened, sealed, token_of, tokenised
from jobs.lakehouse.settings import PrivacySettings

KINDS: tuple[PersonalKind, ...] = ("phone", "email", "name", "address")
INVISIBLE = ("\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad")
mobiles = st.from_regex(r"1(3[0-9]|5[0-35-9]|8[0-9])[0-9]{8}", fullmatch=True)
words = st.text(st.characters(categories=("L", "M")), min_size=1, max_size=8)


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@given(number=mobiles, invisible=st.sampled_from(INVISIBLE), place=st.integers(1, 10))
def test_every_spelling_of_a_phone_is_one_phone(number: str, invisible: str, place: int) -> None:
    spellings = [
        number,
        f" {number} ",
        f"+86{number}",
        f"+86 {number[:3]} {number[3:7]} {number[7:]}",
        f"0086{number}",
        f"0086-{number}",
        f"{number[:3]}-{number[3:7]}-{number[7:]}",
        full_width(number),
        full_width(f"+86{number}"),
        number[:place] + invisible + number[place:],
    ]
    assert {spelling: normalised("phone", spelling) for spelling in spellings} == dict.fromkeys(
        spellings, f"+86{number}"
    )


@given(local=st.from_regex(r"[A-Za-z0-9.]{1,12}", fullmatch=True), invisible=st.sampled_from(INVISIBLE))
def test_every_spelling_of_an_email_is_one_email(local: str, invisible: str) -> None:
    plain = f"{local}@Example.com"
    for spelling in (plain.upper(), f"  {plain}\n", full_width(plain), plain.replace("@", f"{invisible}@ ")):
        assert normalised("email", spelling) == plain.lower()


@given(
    name=st.lists(words, min_size=1, max_size=3).map(" ".join),
    invisible=st.sampled_from(INVISIBLE),
    place=st.integers(0, 30),
)
def test_composed_decomposed_and_invisible_characters_do_not_change_a_name(
    name: str, invisible: str, place: int
) -> None:
    expected = normalised("name", name)
    for form in ("NFC", "NFD"):
        written = unicodedata.normalize(form, name)
        assert normalised("name", written) == expected, form
        assert normalised("name", written[:place] + invisible + written[place:]) == expected, (form, invisible)
    assert normalised("name", name.replace(" ", "\t \n")) == expected
    assert normalised("name", expected) == expected, "normalising twice changes nothing more"


@given(value=st.text(max_size=40), kind=st.sampled_from(KINDS))
def test_no_text_breaks_a_job(value: str, kind: PersonalKind) -> None:
    plain = normalised(kind, value)
    assert plain is None or masked(kind, plain) != plain or kind not in ("phone", "email")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nothing", [None, "", "   ", "\u200b", "\t"])
def test_nothing_is_nobody(kind: PersonalKind, nothing: str | None) -> None:
    assert normalised(kind, nothing) is None


def test_a_foreign_phone_is_read_by_its_region() -> None:
    assert (
        normalised("phone", "020 7946 0018", "GB") == normalised("phone", "+44 20 7946 0018", "CN") == "+442079460018"
    )


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("phone", "+8613812345678", "138****5678"),
        ("phone", "+442079460018", "+44****0018"),
        ("phone", "12345678", "****"),
        ("email", "alice@example.com", "a***@example.com"),
        ("name", "王小明", "王*"),
        ("name", "alice smith", "a***"),
        ("address", "1 long road", "1***"),
        ("payment_account", "pay-0123456789abcdef", "***"),
        ("national_id", "11010519491231002X", "***"),
        ("open_id", "o6_bmjGh5T", "***"),
        ("text", "call me at home", "***"),
    ],
)
def test_masks(kind: PersonalKind, value: str, shown: str) -> None:
    assert masked(kind, value) == shown


def test_a_text_keeps_its_words_and_capitals() -> None:
    assert normalised("text", " Call me,\n\tplease ") == "Call me, please"


def test_kinds_and_keys_keep_tokens_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = load_keys(PrivacySettings(), "local")
    monkeypatch.setenv("LAKEHOUSE_KEY", "5a" * 32)
    others = load_keys(PrivacySettings(), "local")
    tokens = {token_of(chosen, kind, "13812345678") for chosen in (keys, others) for kind in KINDS}
    assert len(tokens) == 8
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


def test_rows_get_token_mask_and_plain_value_and_no_plan_shows_the_key(spark: SparkSession) -> None:
    keys = load_keys(PrivacySettings(), "local")
    people = spark.createDataFrame(
        [(1, "138 1234 5678"), (2, None), (3, "+8613812345678"), (4, "  "), (5, "13900000000")], "id int, phone string"
    )
    tokens = people.select("id", tokenised(keys, "phone", F.col("phone"), "CN").alias("made")).select("id", "made.*")
    found = {row["id"]: row for row in tokens.collect()}
    assert found[1][1:] == found[3][1:] == (token_of(keys, "phone", "+8613812345678"), "138****5678", "+8613812345678")
    assert found[2][1:] == found[4][1:] == (None, None, None)
    assert found[5]["token"] != found[1]["token"]
    plan = tokens._jdf.queryExecution().toString()
    assert "phone" in plan, "this is a plan"
    for secret in (keys.token_key, keys.vault_key):
        for shown in (secret.hex(), repr(secret)[2:-1], base64.b64encode(secret).decode(), str(list(secret))[1:-1]):
            assert shown not in plan


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
