"""A broker that asks who is there: user and password from a file or the environment, told to nobody else."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lakehouse.brokers import CREDENTIALS_FILE, stream_options
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.wire_settings import KafkaSettings
from tests.ingest.clicks import Clicks, event
from tests.servers import PASSWORD, Broker

WRONG = "incorrect-horse-battery-staple"
GUARDED = {"security_protocol": "SASL_PLAINTEXT"}


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LAKEHOUSE_KAFKA_USER", "LAKEHOUSE_KAFKA_PASSWORD", CREDENTIALS_FILE):
        monkeypatch.delenv(variable, raising=False)


def credentials(folder: Path, password: str, mode: int = 0o600) -> str:
    file = folder / f"{password}.properties"
    file.write_text(f"user=lakehouse\npassword={password}\n", "utf-8")
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize("store", ["ca.pem", "ca.jks", "ca.p12"])
def test_tls_trusts_what_the_settings_name(store: str) -> None:
    told = stream_options(KafkaSettings(security_protocol="SSL", truststore=f"/etc/{store}"), "clicks", "earliest")
    kinds = {"ca.pem": "PEM", "ca.jks": "JKS", "ca.p12": "PKCS12"}
    assert told["kafka.security.protocol"] == "SSL"
    assert told["kafka.ssl.truststore.location"] == f"/etc/{store}"
    assert told["kafka.ssl.truststore.type"] == kinds[store]
    assert not [key for key in told if "sasl" in key]


def test_options_name_user_and_password_and_never_hold_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = KafkaSettings(security_protocol="SASL_SSL", sasl_mechanism="PLAIN")
    monkeypatch.setenv("LAKEHOUSE_KAFKA_USER", "lakehouse")
    monkeypatch.setenv("LAKEHOUSE_KAFKA_PASSWORD", PASSWORD)
    told = stream_options(settings, "clicks", "earliest")
    assert "plain.PlainLoginModule" in told["kafka.sasl.jaas.config"]
    assert PASSWORD not in str(told)
    monkeypatch.setenv(CREDENTIALS_FILE, credentials(tmp_path, PASSWORD))
    told = stream_options(settings, "clicks", "earliest")
    assert told["kafka.config.providers"] == "file"
    assert "lakehouse" not in told["kafka.sasl.jaas.config"].replace(str(tmp_path), "")


def test_credentials_that_are_missing_or_open_to_others_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = KafkaSettings(security_protocol="SASL_SSL")
    with pytest.raises(ConfigurationError, match=r"no user and password for Kafka .* set LAKEHOUSE_KAFKA_USER"):
        stream_options(settings, "clicks", "earliest")
    monkeypatch.setenv(CREDENTIALS_FILE, credentials(tmp_path, PASSWORD, 0o640))
    with pytest.raises(ConfigurationError, match="can be read by others: chmod 600"):
        stream_options(settings, "clicks", "earliest")
    monkeypatch.setenv(CREDENTIALS_FILE, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match="there is no file"):
        stream_options(settings, "clicks", "earliest")


@pytest.mark.long
def test_a_stream_logs_in_by_a_file_and_leaves_the_password_nowhere(
    spark: SparkSession, guarded_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks = Clicks(spark, guarded_broker, tmp_path, "guarded", **GUARDED)
    clicks.send(event(0), event(1))
    (tmp_path / "secrets").mkdir()
    monkeypatch.setenv(CREDENTIALS_FILE, credentials(tmp_path / "secrets", WRONG))
    with pytest.raises(
        ConfigurationError, match=r"SaslAuthenticationException.*correct kafka\.security_protocol"
    ) as failed:
        clicks.stream()
    assert failed.value.exit_code == 2
    monkeypatch.setenv(CREDENTIALS_FILE, credentials(tmp_path / "secrets", PASSWORD))
    assert clicks.stream().outcome == "done"
    assert clicks.ids() == ["m0", "m1"]

    (event_log,) = Path(str(spark.conf.get("spark.eventLog.dir")).removeprefix("file:")).iterdir()
    files = [event_log, *(file for file in (tmp_path / "lake").rglob("*") if file.is_file())]
    assert "guarded" in event_log.read_text("utf-8"), "the log tells of this stream"
    for file in files:
        content = file.read_bytes()
        assert PASSWORD.encode() not in content, file
        assert WRONG.encode() not in content, file
    assert PASSWORD not in str(clicks.rows("ops.runs"))


@pytest.mark.long
def test_a_wrong_password_in_the_environment_ends_the_command_with_code_2(
    spark: SparkSession, guarded_broker: Broker, tmp_path: Path
) -> None:
    clicks = Clicks(spark, guarded_broker, tmp_path, "refused", **GUARDED)
    clicks.send(event(0))
    for password, code in ((WRONG, 2), (PASSWORD, 0)):
        secrets = {"LAKEHOUSE_KAFKA_USER": "lakehouse", "LAKEHOUSE_KAFKA_PASSWORD": password}
        with clicks.process(tmp_path, ["-m", "jobs"], secrets, SECURITY_PROTOCOL="SASL_PLAINTEXT") as process:
            ended = process.wait(timeout=120)
        log = (tmp_path / "log").read_text("utf-8")
        assert ended == code, log[-3000:]
        assert password not in log
        assert ("don't trust each other" in log) == (code == 2)
    assert clicks.ids() == ["m0"]
