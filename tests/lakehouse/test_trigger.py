"""How a stream ends is said by an option over the setting, for the jobs that have a stream and no other."""

import json

import pytest

from jobs.__main__ import all_jobs, main, parser
from jobs.ingest import load_files, stream_topics
from jobs.lakehouse.cli import settings_of

VARIABLE = "LAKEHOUSE__KAFKA__TRIGGER"


@pytest.mark.parametrize(
    ("options", "variable", "expected"),
    [
        ([], None, "once"),
        ([], "continuous", "continuous"),
        (["--once"], "continuous", "once"),
        (["--continuous"], None, "continuous"),
        (["--continuous"], "once", "continuous"),
    ],
)
def test_an_option_wins_over_the_setting(
    options: list[str], variable: str | None, expected: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if variable:
        monkeypatch.setenv(VARIABLE, variable)
    asked = parser().parse_args(["run", "stream_topics", *options])
    assert settings_of(asked).kafka.trigger == expected
    assert stream_topics.JOB.main(stream_topics.__doc__, stream_topics.build, [*options, "--print-config"]) == 0
    assert json.loads(capsys.readouterr().out)["kafka"]["trigger"] == expected, "so too where the job is the program"


def test_a_stream_ends_or_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "stream_topics", "--once", "--continuous"])
    assert ended.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_a_job_without_a_stream_refuses_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load_files.JOB.main(load_files.__doc__, load_files.build, ["--once"])
    assert ended.value.code == 2
    assert "--once" in capsys.readouterr().err
    assert main(["run", "load_files", "--continuous"]) == 2
    assert "none of those asked for does" in capsys.readouterr().err.replace("\n", " ")


def test_only_the_stream_takes_topics() -> None:
    takers = [named.name for named in all_jobs().values() if any("topics" in name for name in named.reads)]
    assert takers == ["ingest.stream_topics"]
