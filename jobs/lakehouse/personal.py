"""Personal values: turned into keyed tokens and masks, and sealed for the vault, in Arrow batches."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Iterator

import pandas as pd
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from jobs.lakehouse.keys import Keys
from jobs.lakehouse.personal_kinds import PersonalKind, masked, normalised

NONCE_BYTES = 12
# What `token_of` gives, wherever it stands in a text.
TOKEN = "[0-9a-f]{8}:[0-9a-f]{32}"  # noqa: S105 - the shape of all, not one
TOKENISED = "token string, masked string, normalised string"


def token_of(keys: Keys, kind: PersonalKind, value: str) -> str:
    """The keyed token of a normalised value: `<key id>:<128 bits of HMAC-SHA256>`."""
    digest = hmac.digest(keys.token_key, f"{kind}\0{value}".encode(), "sha256")
    return f"{keys.key_id}:{digest[:16].hex()}"


def origin_of(token: Column) -> Column:
    """What stands for a value where its token must not matter: a hash of its first token, which a rotation of the key keeps."""
    return F.substring(F.sha2(token, 256), 1, 32)


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


def digest(keys: Keys, text: Column) -> Column:
    """A keyed digest of a text as it stands, for what must be recognised again and never guessed; null for null."""

    def digests(texts: pd.Series) -> pd.Series:
        return texts.map(
            lambda one: hmac.digest(keys.token_key, f"line\0{one}".encode(), "sha256")[:16].hex(), na_action="ignore"
        )

    batch = pandas_udf(digests, returnType="string")  # type: ignore[call-overload]
    result: Column = batch(text)
    return result


def sealed(rows: DataFrame, keys: Keys, plain_column: str, bound_to: str) -> DataFrame:
    """One row per value of the column `bound_to`, with `_ciphertext` in place of the plain column.

    The ciphertext is nonce and AES-256-GCM, bound to that value. Sealing comes before the shuffle that drops repeated
    values, so that no plain value is ever written to a disk.
    """

    def seal(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for repeated in batches:
            batch = repeated.drop_duplicates(bound_to)
            ciphertexts = _sealed_each(keys, batch[plain_column], batch[bound_to])
            yield batch.drop(columns=plain_column).assign(_ciphertext=ciphertexts)

    schema = f"{_ddl(rows.drop(plain_column))}, _ciphertext binary"
    return rows.mapInPandas(seal, schema).dropDuplicates([bound_to])


def opened(keys: Keys, ciphertext: bytes, bound_to: str) -> str:
    """The plain value of one sealed value; raises InvalidTag when it was sealed by another key or for another row."""
    plain = AESGCM(keys.vault_key).decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], bound_to.encode())
    return plain.decode()


def resealed_values(values: DataFrame, old: Keys, new: Keys) -> DataFrame:
    """One row per row of vault.personal_values under the new key, with its `old_token`; plain values never leave the Arrow batch."""

    def reseal(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            plain = _opened_each(old, batch["_ciphertext"], batch["token"])
            tokens = [token_of(new, kind, value) for kind, value in zip(batch["kind"], plain, strict=True)]
            yield batch.assign(
                old_token=batch["token"], token=tokens, key_id=new.key_id, _ciphertext=_sealed_each(new, plain, tokens)
            )

    return values.mapInPandas(reseal, f"{_ddl(values)}, old_token string")


def resealed_payloads(payloads: DataFrame, old: Keys, new: Keys) -> DataFrame:
    """One row per row of vault.payloads, sealed by the new key."""

    def reseal(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            plain = _opened_each(old, batch["_ciphertext"], batch["record_id"])
            yield batch.assign(key_id=new.key_id, _ciphertext=_sealed_each(new, plain, batch["record_id"]))

    return payloads.mapInPandas(reseal, _ddl(payloads))


def _opened_each(keys: Keys, ciphertexts: Iterable[bytes], bound_to: Iterable[str]) -> list[str]:
    return [opened(keys, bytes(one), bound) for one, bound in zip(ciphertexts, bound_to, strict=True)]


def _sealed_each(keys: Keys, plain: Iterable[str], bound_to: Iterable[str]) -> list[bytes]:
    """Nonce and AES-256-GCM of each value, bound to its token or record."""
    # The class is made in Rust and can't travel in a closure; the worker imports its own.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    cipher = AESGCM(keys.vault_key)
    nonces = ((os.urandom(NONCE_BYTES), value, bound) for value, bound in zip(plain, bound_to, strict=True))
    return [nonce + cipher.encrypt(nonce, str(value).encode(), str(bound).encode()) for nonce, value, bound in nonces]


def _ddl(rows: DataFrame) -> str:
    return ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in rows.schema.fields)
