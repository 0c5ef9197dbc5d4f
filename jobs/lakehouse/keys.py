"""The secret key: from LAKEHOUSE_KEY, or a file that only its owner reads; two keys are derived from it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.settings import PrivacySettings

KEY_BYTES = 32


@dataclass(frozen=True, repr=False)
class Keys:
    """Key id (public), key of tokens and key of the vault; never printed, logged or put into a plan."""

    key_id: str
    token_key: bytes
    vault_key: bytes


def load_keys(privacy: PrivacySettings, environment: str) -> Keys:
    """The keys of this environment.

    Raises:
        ConfigurationError: there is no key, it is too short, or others can read its file.
    """
    return _keys(_secret("LAKEHOUSE_KEY", privacy.key_file, environment))


def load_old_keys(environment: str) -> Keys:
    """The keys that a rotation replaces: LAKEHOUSE_OLD_KEY, or the file that LAKEHOUSE_OLD_KEY_FILE names.

    Raises:
        ConfigurationError: as for the keys of the environment.
    """
    return _keys(_secret("LAKEHOUSE_OLD_KEY", None, environment))


def _keys(secret: str) -> Keys:
    try:
        master = bytes.fromhex(secret.strip())
    except ValueError as error:
        raise ConfigurationError("the key must be written in hexadecimal digits (64 of them for 32 bytes)") from error
    if len(master) < KEY_BYTES:
        raise ConfigurationError(
            f"the key has {len(master)} bytes; at least {KEY_BYTES} are needed: openssl rand -hex 32"
        )
    return Keys(
        key_id=_derive(master, b"id")[:4].hex(),
        token_key=_derive(master, b"token"),
        vault_key=_derive(master, b"vault"),
    )


def _derive(master: bytes, purpose: bytes) -> bytes:
    """A key for one purpose (HKDF, RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=b"customer-lakehouse/" + purpose).derive(
        master
    )


def _secret(variable: str, key_file: str | None, environment: str) -> str:
    if secret := os.environ.get(variable):
        return secret
    name = os.environ.get(f"{variable}_FILE") or key_file
    if not name:
        which = "key" if variable == "LAKEHOUSE_KEY" else "old key"
        raise ConfigurationError(
            f"environment {environment} has no {which}: set {variable} to 64 hexadecimal digits, "
            f"or {variable}_FILE to a file of mode 0600 that holds them"
        )
    file = Path(name)
    if not file.is_file():
        hint = "run `make setup`" if environment == "local" else "put it there (openssl rand -hex 32), mode 0600"
        raise ConfigurationError(f"the key file {file} is missing: {hint}")
    refuse_if_others_may_read(file, "key")
    return file.read_text(encoding="ascii")


def refuse_if_others_may_read(file: Path, what: str) -> None:
    """Take no secret from a file that others can read.

    Raises:
        ConfigurationError: they can.
    """
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"the {what} file {file} can be read by others: chmod 600 {file}")
