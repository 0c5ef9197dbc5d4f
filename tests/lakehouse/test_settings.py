"""Settings: layers win in their order, and nothing that is not known passes."""

from pathlib import Path

import pytest
import yaml

from jobs.__main__ import main
from jobs.lakehouse.errors import ConfigurationError
from jobs.lakehouse.job import all_contracts
from jobs.lakehouse.settings import Settings, find_conf_dir, load_settings
from tests.lakes import KEY
from tests.rows import CONF_DIR

SHARE = "max_quarantined_files_share"


@pytest.fixture
def conf_dir(tmp_path: Path) -> Path:
    """A configuration in which each file sets the same key to a value of its own."""
    for file, share in (("base", 0.1), ("datasets/shop/dataset", 0.2), ("environments/local", 0.3)):
        path = tmp_path / f"{file}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"ingest": {SHARE: share}, "churn": {"gap_days": 9}}), "utf-8")
    return tmp_path


def share_of(conf_dir: Path, **overrides: object) -> float:
    chosen = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_settings("local", "shop", str(conf_dir), chosen).ingest.max_quarantined_files_share


def test_layers_win_in_order(conf_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for emptied in ("none", "environments/local", "datasets/shop/dataset", "base"):
        if emptied != "none":
            (conf_dir / f"{emptied}.yaml").write_text("", "utf-8")
        found.append(share_of(conf_dir))
    assert found == [0.3, 0.2, 0.1, 0.5], (
        "expected environment, dataset, base and the default of the code, in this order"
    )
    (conf_dir / "environments/local.yaml").write_text(f"ingest: {{{SHARE}: 0.3}}", "utf-8")
    monkeypatch.setenv(f"LAKEHOUSE__INGEST__{SHARE.upper()}", "0.4")
    assert share_of(conf_dir) == 0.4, "a variable wins over the files"
    assert share_of(conf_dir, ingest__max_quarantined_files_share=0.6) == 0.6, "the command line wins over a variable"
    assert share_of(conf_dir, ingest__max_quarantined_files_share=None) == 0.4, "an option not given says nothing"


def test_a_layer_changes_its_key_and_leaves_the_others_of_the_section(
    conf_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__CHURN__WINDOW_DAYS", "90")
    churn = load_settings("local", "shop", str(conf_dir), {"churn.seed": 1}).churn
    assert (churn.gap_days, churn.window_days, churn.seed) == (9, 90, 1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("churn: {gap_dayz: 1}", "churn.gap_dayz: unknown setting"),
        ("chrun: {gap_days: 1}", "chrun: unknown setting"),
        ("churn: {gap_days: soon}", "churn.gap_days: .*'soon'"),
        ("ingest: {max_quarantined_files_share: 2}", "ingest.max_quarantined_files_share: .*got 2"),
        ("identity: {links: {override: {priority: 1, max_accounts: 2}}}", "links.override .* has no max_accounts"),
        ("identity: {links: {record_link: {priority: 5, joins: with_same_name}}}", "joins is always or never"),
        ("churn: [", "local.yaml is not valid YAML"),
        ("- churn", "local.yaml must hold keys and values, not list"),
    ],
)
def test_a_file_with_a_fault_is_refused_by_the_name_of_the_key(conf_dir: Path, content: str, told: str) -> None:
    (conf_dir / "environments/local.yaml").write_text(content, "utf-8")
    with pytest.raises(ConfigurationError, match=told) as caught:
        load_settings("local", "shop", str(conf_dir))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("LAKEHOUSE__CHRUN__GAP_DAYS", "LAKEHOUSE__CHRUN__GAP_DAYS: there is no section 'chrun'"),
        ("LAKEHOUSE__CHURN__GAP_DAYZ", "churn.gap_dayz: unknown setting"),
    ],
)
def test_a_variable_that_names_no_setting_is_refused(
    conf_dir: Path, monkeypatch: pytest.MonkeyPatch, variable: str, told: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ConfigurationError, match=told):
        load_settings("local", "shop", str(conf_dir))


def test_an_unknown_environment_or_dataset_is_told_with_those_there_are(conf_dir: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown environment: .*nowhere.yaml is missing; there are: local"):
        load_settings("nowhere", "shop", str(conf_dir))
    with pytest.raises(ConfigurationError, match=r"unknown dataset: .*there are: shop"):
        load_settings("local", "bazaar", str(conf_dir))


@pytest.mark.parametrize("arguments", [["--env", "nowhere"], ["--dataset", "bazaar"], ["--conf-dir", "/nowhere"]])
def test_the_command_line_exits_2_for_a_wrong_name(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--all", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: "), told
    assert arguments[1] in told


def test_print_config_shows_every_section_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "fedcba98" * 8
    key_file = tmp_path / "key"
    key_file.write_text(other, "ascii")
    key_file.chmod(0o600)
    monkeypatch.setenv("LAKEHOUSE__PRIVACY__KEY_FILE", str(key_file))
    assert main(["run", "--all", "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert [section for section in Settings.model_fields if f'"{section}"' not in printed] == []
    assert str(key_file) in printed
    assert KEY not in printed
    assert other not in printed


@pytest.mark.parametrize(
    "command", [["vacuum"], ["restore", "gold.things", "--version", "1"], ["rotate-keys"], ["tier"]]
)
def test_every_command_over_a_lake_prints_its_settings_and_does_nothing_else(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--lake", str(tmp_path / "lake"), "--print-config"]) == 0
    assert f'"lake": "{tmp_path / "lake"}"' in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [["vacuum", "--dry-run"], ["rotate-keys", "--force"], ["tier", "--bring-back", "bronze.a", "--dry-run"]]
)
def test_an_option_that_a_command_would_not_heed_is_refused(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert command[-1] in capsys.readouterr().err


def test_paths_are_filled_in_and_absolute_and_those_of_other_file_systems_stay() -> None:
    settings = load_settings("local", "world", overrides={"paths.lake": "s3a://bucket/{dataset}", "paths.data": "raw"})
    assert settings.path("lake") == "s3a://bucket/world"
    assert settings.path("data") == str(Path("raw").resolve())


def test_the_truth_of_a_world_lies_beside_its_raw_files_unless_it_is_told_where() -> None:
    truths = [
        load_settings("local", "world", overrides=overrides).path("truth")
        for overrides in (None, {"paths.data": "/d/raw/"}, {"paths.data": "/d/raw", "paths.truth": "/t/{dataset}"})
    ]
    assert truths == [str(Path("data/world-truth").resolve()), "/d/raw-truth", "/t/world"]


def test_the_digest_of_a_section_follows_its_values() -> None:
    plain, same, other = (load_settings("local", "world", overrides={"churn.gap_days": gap}) for gap in (None, 7, 8))
    assert plain.churn.digest == same.churn.digest
    assert plain.churn.digest != other.churn.digest
    assert plain.demand.digest == other.demand.digest


def test_every_shipped_dataset_and_environment_can_be_loaded() -> None:
    conf_dir = find_conf_dir(None)
    environments = [file.stem for file in (conf_dir / "environments").glob("*.yaml")]
    for dataset in (file.parent.name for file in conf_dir.glob("datasets/*/dataset.yaml")):
        for environment in environments:
            assert load_settings(environment, dataset).dataset == dataset


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (
            "database.url",
            "jdbc:postgresql://127.0.0.1/shop?password=hush",
            "the password comes from LAKEHOUSE_DATABASE",
        ),
        ("database.url", "jdbc:postgresql://me:hush@127.0.0.1/shop", "database.url: String should match pattern"),
        ("kafka.options", {"sasl.jaas.config": "hush"}, "a secret never stands in a setting"),
    ],
)
def test_a_password_in_a_setting_is_refused_and_not_repeated(key: str, value: object, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as refused:
        load_settings("local", "world", overrides={key: value})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("dataset", sorted(folder.name for folder in (CONF_DIR / "datasets").iterdir()))
def test_tables_that_are_clustered_have_the_columns(dataset: str) -> None:
    settings = load_settings("local", dataset)
    contracts = all_contracts(settings)
    lacking = {
        table: sorted({*ages.cluster_by} - {*contracts[table].column_names})
        for table, ages in settings.storage.tables.items()
    }
    assert not any(lacking.values()), lacking
