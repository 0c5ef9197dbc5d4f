"""Personal values: normalised, turned into keyed tokens and masks, and sealed for the vault, in Arrow batches."""

from __future__ import annotations

import hmac
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import pandas as pd
import phonenumbers
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyspark.sql import Column, DataFrame
from pyspark.sql.pandas.functions import pandas_udf

from jobs.lakehouse.keys import Keys

PersonalKind = Literal["phone", "email", "name", "address", "national_id", "open_id", "payment_account", "text"]
NONCE_BYTES = 12
TOKENISED = "token string, masked string, normalised string"


def normalised(kind: PersonalKind, value: str | None, region: str = "CN") -> str | None:
    """The one spelling of a personal value, so that the same person gives the same token; None when nothing is left.

    Invisible format characters are dropped, then NFKC folds full-width digits and letters: in this order, for one of
    them may part a letter from its accent. Phones become E.164 where `phonenumbers` can read them, e-mails lower case,
    names and addresses lower case with single blanks; free text and ids keep their capitals.
    """
    if value is None:
        return None
    visible = "".join(c for c in re.sub(r"\s", " ", value) if unicodedata.category(c) not in ("Cf", "Cc"))
    text = unicodedata.normalize("NFKC", visible).strip()
    if kind == "phone":
        text = _e164(text, region)
    elif kind == "email":
        text = text.replace(" ", "").lower()
    elif kind in ("national_id", "open_id", "payment_account", "text"):
        text = re.sub(r"\s+", " ", text)
    else:
        text = unicodedata.normalize("NFKC", re.sub(r"\s+", " ", text).casefold())
    return text or None


def _e164(text: str, region: str) -> str:
    international = re.sub(r"^00", "+", text)
    try:
        number = phonenumbers.parse(international, region)
    except phonenumbers.NumberParseException:
        return re.sub(r"\D", "", text)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def masked(kind: PersonalKind, value: str) -> str:
    """What may be shown of a normalised value: 138****5678, a***@example.com, 王*."""
    if kind == "phone":
        national = re.sub(r"^\+86", "", value)
        return f"{national[:3]}****{national[-4:]}" if len(national) >= 9 else "****"
    if kind == "email":
        local, at, domain = value.partition("@")
        return f"{local[:1]}***{at}{domain}"
    if kind in ("national_id", "open_id", "payment_account", "text"):
        return "***"
    return f"{value[:1]}*" if len(value) <= 3 else f"{value[:1]}***"


def token_of(keys: Keys, kind: PersonalKind, value: str) -> str:
    """The keyed token of a normalised value: `<key id>:<128 bits of HMAC-SHA256>`."""
    digest = hmac.digest(keys.token_key, f"{kind}\0{value}".encode(), "sha256")
    return f"{keys.key_id}:{digest[:16].hex()}"


def tokenised(keys: Keys, kind: PersonalKind, value: Column, region: str) -> Column:
    """A struct of token, mask and normalised value; the key travels in a closure, so that no plan shows it."""
    batch = pandas_udf(_token_batches(keys, kind, region), returnType=TOKENISED)  # type: ignore[call-overload]
    result: Column = batch(value)
    return result


def _token_batches(
    keys: Keys, kind: PersonalKind, region: str
) -> Callable[[Iterator[pd.Series[str]]], Iterator[pd.DataFrame]]:
    def tokens(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        for values in batches:
            codes, distinct = pd.factorize(values)
            rows = [_token_row(keys, kind, value, region) for value in distinct]
            table = pd.DataFrame([*rows, (None, None, None)], columns=["token", "masked", "normalised"], dtype=object)
            # factorize marks a missing value by -1, which is the last row.
            yield table.iloc[codes].reset_index(drop=True)

    return tokens


def _token_row(keys: Keys, kind: PersonalKind, value: str, region: str) -> tuple[str | None, str | None, str | None]:
    plain = normalised(kind, value, region)
    return (None, None, None) if plain is None else (token_of(keys, kind, plain), masked(kind, plain), plain)


def sealed(rows: DataFrame, keys: Keys, plain_column: str, bound_to: str) -> DataFrame:
    """One row per value of the column `bound_to`, with `_ciphertext` in place of the plain column.

    The ciphertext is nonce and AES-256-GCM, bound to that value. Sealing comes before the shuffle that drops repeated
    values, so that no plain value is ever written to a disk.
    """
    kept = [field for field in rows.schema.fields if field.name != plain_column]

    def seal(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        # The class is made in Rust and can't travel in a closure; the worker imports its own.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        cipher = AESGCM(keys.vault_key)
        for repeated in batches:
            batch = repeated.drop_duplicates(bound_to)
            nonces = [os.urandom(NONCE_BYTES) for _ in range(len(batch))]
            ciphertexts = [
                nonce + cipher.encrypt(nonce, str(plain).encode(), str(bound).encode())
                for nonce, plain, bound in zip(nonces, batch[plain_column], batch[bound_to], strict=True)
            ]
            yield batch.drop(columns=plain_column).assign(_ciphertext=ciphertexts)

    schema = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in kept)
    return rows.mapInPandas(seal, f"{schema}, _ciphertext binary").dropDuplicates([bound_to])


def opened(keys: Keys, ciphertext: bytes, bound_to: str) -> str:
    """The plain value of one sealed value; raises InvalidTag when it was sealed by another key or for another row."""
    plain = AESGCM(keys.vault_key).decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], bound_to.encode())
    return plain.decode()
