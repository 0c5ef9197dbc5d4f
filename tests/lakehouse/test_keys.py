"""The secret key: where it comes from, and that it shows nowhere."""

import logging
from pathlib import Path

import pytest

from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.keys import load_keys
from jobs.lakehouse.settings import PrivacySettings
from tests.lakes import KEY

NO_FILE = PrivacySettings(key_file=None)


def key_file(folder: Path, content: str = KEY, mode: int = 0o600) -> Path:
    file = folder / "key"
    file.write_text(content, "ascii")
    file.chmod(mode)
    return file


@pytest.fixture
def _no_key_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKEHOUSE_KEY")


@pytest.mark.usefixtures("_no_key_variable")
def test_an_environment_without_a_key_says_how_to_give_one() -> None:
    with pytest.raises(ConfigurationError, match="environment cluster has no key: set LAKEHOUSE_KEY") as caught:
        load_keys(NO_FILE, "cluster")
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("_no_key_variable")
@pytest.mark.parametrize(("environment", "hint"), [("local", "make setup"), ("cluster", "openssl rand -hex 32")])
def test_a_missing_key_file_says_how_to_make_it(tmp_path: Path, environment: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=f"is missing: .*{hint}"):
        load_keys(PrivacySettings(key_file=str(tmp_path / "none")), environment)


@pytest.mark.usefixtures("_no_key_variable")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_key_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    file = key_file(tmp_path, mode=mode)
    with pytest.raises(ConfigurationError, match="can be read by others: chmod 600"):
        load_keys(PrivacySettings(key_file=str(file)), "local")


@pytest.mark.usefixtures("_no_key_variable")
def test_the_file_of_the_variable_wins_over_that_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE_KEY_FILE", str(key_file(tmp_path)))
    by_file = load_keys(PrivacySettings(key_file="/nowhere"), "cluster")
    monkeypatch.setenv("LAKEHOUSE_KEY", KEY)
    assert by_file == load_keys(NO_FILE, "cluster")


@pytest.mark.parametrize(
    ("secret", "told"), [("ab" * 31, "the key has 31 bytes; at least 32"), ("not hexadecimal", "hexadecimal digits")]
)
def test_a_short_or_unreadable_key_is_refused_without_being_told(
    monkeypatch: pytest.MonkeyPatch, secret: str, told: str
) -> None:
    monkeypatch.setenv("LAKEHOUSE_KEY", secret)
    with pytest.raises(ConfigurationError, match=told) as caught:
        load_keys(NO_FILE, "local")
    assert secret not in str(caught.value)


def test_keys_for_tokens_vault_and_id_are_derived_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = load_keys(NO_FILE, "local")
    monkeypatch.setenv("LAKEHOUSE_KEY", KEY[::-1])
    other = load_keys(NO_FILE, "local")
    assert len({keys.token_key, keys.vault_key, other.token_key, other.vault_key, bytes.fromhex(KEY)}) == 5
    assert keys.key_id != other.key_id
    assert keys.key_id not in KEY


def test_no_key_is_in_what_python_prints_of_it(caplog: pytest.LogCaptureFixture) -> None:
    keys = load_keys(NO_FILE, "local")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("jobs").debug("%s %r %s", keys, keys, {"keys": keys})
    printed = caplog.text + repr(keys) + str(keys)
    for secret in (bytes.fromhex(KEY), keys.token_key, keys.vault_key):
        assert secret.hex() not in printed
        assert repr(secret) not in printed
