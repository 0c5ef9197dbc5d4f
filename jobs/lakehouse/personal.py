"""Personal values: turned into keyed tokens and masks, and sealed for the vault, in Arrow batches."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import pandas as pd
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import arrow_udf
from pyspark.sql.pandas.types import to_arrow_type
from pyspark.sql.types import BinaryType, StringType, StructField, StructType

from jobs.lakehouse.keys import Keys
from jobs.lakehouse.personal_kinds import PersonalKind, masked, normalised

NONCE_BYTES = 12
# What `token_of` gives, wherever it stands in a text.
TOKEN = "[0-9a-f]{8}:[0-9a-f]{32}"  # noqa: S105 - the shape of all, not one
TOKENISED = StructType(
    [StructField("token", StringType()), StructField("masked", StringType()), StructField("ciphertext", BinaryType())]
)
_Told = tuple[str | None, str | None, bytes | None]
# Values of which a task remembers the tokens: some sixty megabytes, and most of the devices of a day.
MOST_REMEMBERED = 250_000


def token_of(keys: Keys, kind: PersonalKind, value: str) -> str:
    """The keyed token of a normalised value: `<key id>:<128 bits of HMAC-SHA256>`."""
    digest = hmac.digest(keys.token_key, f"{kind}\0{value}".encode(), "sha256")
    return f"{keys.key_id}:{digest[:16].hex()}"


def origin_of(token: Column) -> Column:
    """What stands for a value where its token must not matter: a hash of its first token, which a rotation of the key keeps."""
    return F.substring(F.sha2(token, 256), 1, 32)


def tokenised(keys: Keys, kind: PersonalKind, value: Column, region: str) -> Column:
    """A struct of `token`, `masked` and `ciphertext` of a personal value; see `keyed`."""
    made: Column = keyed(keys, {"value": (kind, value)}, region)["value"]
    return made


def keyed(keys: Keys, columns: Mapping[str, tuple[PersonalKind | None, Column]], region: str) -> Column:
    """A struct of what the key makes of some columns, all in one pass through Python.

    Of a personal value that is a struct of `token`, `masked` and `ciphertext`, the sealed value for the vault. The vault
    needs one of each: the ciphertext stands where a task comes upon the value, and is null where the task has told it before.
    Of a text without a kind it is a keyed digest of the text as it stands, for what must be recognised again and never
    guessed. The key travels in a closure, so that no plan shows it.

    Args:
        keys: the keys.
        columns: name in the struct to kind and column.
        region: the country of phones that name none.
    """
    kinds = {name: kind for name, (kind, _) in columns.items()}
    told = {name: StringType() if kind is None else TOKENISED for name, kind in kinds.items()}
    schema = StructType([StructField(name, data_type) for name, data_type in told.items()])
    batch = arrow_udf(_keyed_batches(keys, kinds, region), returnType=schema)  # type: ignore[call-overload]
    result: Column = batch(*[column for _, column in columns.values()])
    return result


def _keyed_batches(
    keys: Keys, kinds: Mapping[str, PersonalKind | None], region: str
) -> Callable[[Iterator[tuple[pa.Array, ...]]], Iterator[pa.Array]]:
    def keyed_batches(batches: Iterator[tuple[pa.Array, ...]]) -> Iterator[pa.Array]:
        makers = [_digests(keys) if kind is None else _tokens(keys, kind, region) for kind in kinds.values()]
        for batch in batches:
            # Of one column Spark gives the array by itself.
            arrays = batch if isinstance(batch, tuple) else (batch,)
            made = [make(array) for make, array in zip(makers, arrays, strict=True)]
            yield pa.StructArray.from_arrays(made, names=list(kinds))

    return keyed_batches


def _tokens(keys: Keys, kind: PersonalKind, region: str) -> Callable[[pa.Array], pa.Array]:
    """Makes tokens of arrays, of each distinct value once as long as it is remembered."""
    known: dict[str, _Told] = {}

    def tokens(values: pa.Array) -> pa.Array:
        coded = values.dictionary_encode()
        distinct = coded.dictionary.to_pylist()
        fresh = _first_told(keys, kind, region, [value for value in distinct if value not in known])
        rows = [fresh[value] if value in fresh else known[value] for value in distinct]
        if len(known) > MOST_REMEMBERED:
            known.clear()
        known.update({value: (token, mask, None) for value, (token, mask, _) in fresh.items()})
        # A missing value has no code, and gives a missing struct.
        return pa.array(rows, to_arrow_type(TOKENISED)).take(coded.indices)

    return tokens


def _first_told(keys: Keys, kind: PersonalKind, region: str, values: list[str]) -> dict[str, _Told]:
    """Token, mask and ciphertext of each value; nothing of one of which nothing is left."""
    plain = {value: normalised(kind, value, region) for value in values}
    tokens = {value: token_of(keys, kind, text) for value, text in plain.items() if text is not None}
    sealed_each = _sealed_each(keys, (plain[value] or "" for value in tokens), tokens.values())
    told: dict[str, _Told] = dict.fromkeys(values, (None, None, None))
    for (value, token), ciphertext in zip(tokens.items(), sealed_each, strict=True):
        told[value] = (token, masked(kind, plain[value] or ""), ciphertext)
    return told


def _digests(keys: Keys) -> Callable[[pa.Array], pa.Array]:
    def digest(text: str) -> str:
        return hmac.digest(keys.token_key, f"line\0{text}".encode(), "sha256")[:16].hex()

    def digests(texts: pa.Array) -> pa.Array:
        return pa.array([None if text is None else digest(text) for text in texts.to_pylist()], pa.string())

    return digests


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


def unsealed(keys: Keys, ciphertext: Column, bound_to: Column) -> Column:
    """The plain texts of sealed ones; whoever asks must not let them reach a disk.

    The job fails where a text was sealed by another key or for another row.
    """

    def texts(ciphertexts: pa.Array, bound: pa.Array) -> pa.Array:
        return pa.array(_opened_each(keys, ciphertexts.to_pylist(), bound.to_pylist()), pa.string())

    batch = arrow_udf(texts, returnType="string")  # type: ignore[call-overload]
    result: Column = batch(ciphertext, bound_to)
    return result


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
