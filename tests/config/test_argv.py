"""Quoting for Hydra's grammar, and ``resume=`` before Hydra sees the command line."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sweepmaker.config import argv
from sweepmaker.config.errors import ConfigError

PARSER = OverridesParser.create()
# what a grammar may trip over comes up more often than by chance
PIECES = st.sampled_from(
    ["'", '"', "\\", "\\\\", ",", "=", " ", "${", "}", "${a}", "(", "[", "{", ":", "~", "#", "/", "null", "1"]
)
TEXTS = st.lists(PIECES | st.text(st.characters(exclude_categories=("C",)), max_size=4), max_size=8).map(
    "".join
)


def as_hydra_reads(word: str) -> object:
    override = PARSER.parse_override(f"key={word}")
    assert not override.is_sweep_override()
    return OmegaConf.create({"key": override.value()}).key


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from("'\""))
@example("null", "'")
@example("-1.5e3", "'")
@example("true", '"')
@example("~", "'")
@example("", "'")
@example("ends with \\", "'")
@example("a\\'b", "'")
@example("\\${x}", '"')
@example("two\nlines\tand a tab", "'")
@example("/opt/ml/checkpoints~1", "'")
def test_hydra_reads_back_what_was_quoted(text: str, mark: str) -> None:
    word = argv.quote(text, mark)
    assert as_hydra_reads(word) == text
    assert argv._unquote(word) == text


@settings(max_examples=100, deadline=None)
@given(TEXTS)
@example("a folder with 'both' \"marks\"")
def test_a_line_to_paste_brings_the_same_value(text: str) -> None:
    (word,) = shlex.split(argv.word("key", text))
    override = PARSER.parse_override(word)
    assert OmegaConf.create({"key": override.value()}).key == text


def test_the_line_that_continues_a_run(tmp_path: Path) -> None:
    assert argv.resume_line("/runs/1") == "python train.py resume=/runs/1"
    run = _run_folder(tmp_path / "a run's, folder", "- lr=1")
    assert f"resume={argv.quote(str(run))}" in argv.prepare(shlex.split(argv.resume_line(run))[1:])


@pytest.mark.parametrize("path", ["/runs/2026-01-31/12-00-00-123456", "outputs/a_b", "./x"])
def test_a_plain_path_stays_as_it_is(path: str) -> None:
    assert argv.quote(path) == path


def _run_folder(folder: Path, overrides: str) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(overrides)
    return folder


def test_resume_brings_the_runs_own_overrides(tmp_path: Path) -> None:
    folder = _run_folder(tmp_path / "a=b, c", "- +experiment=b2\n- lr=1e-3\n- resume=/an/older/one\n")
    prepared = argv.prepare(["train.py", f"resume={folder}", "epochs=3"])
    assert prepared[:4] == ["train.py", "+experiment=b2", "lr=1e-3", "epochs=3"]
    # the record of how it began stays as it is
    assert prepared[4:] == [f"resume='{folder}'", f"hydra.run.dir='{folder}'", "hydra.output_subdir=null"]


@pytest.mark.parametrize(
    "name", ["run", "a=b, c", "it's", "${x}", "ends with \\", "Läufe (2)", "1", 'say "hi"']
)
@pytest.mark.parametrize("quoted", [False, True])
def test_resume_finds_any_folder(name: str, quoted: bool, tmp_path: Path) -> None:
    folder = _run_folder(tmp_path / name, "[]")
    given = argv.quote(str(folder)) if quoted else str(folder)
    prepared = argv.prepare(["train.py", f"resume={given}"])
    found = {word.partition("=")[0]: as_hydra_reads(word.partition("=")[2]) for word in prepared[1:]}
    assert found == {"resume": str(folder), "hydra.run.dir": str(folder), "hydra.output_subdir": None}


def test_a_relative_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run_folder(tmp_path / "run", "- lr=1e-3\n")
    monkeypatch.chdir(tmp_path)
    assert f"hydra.run.dir={tmp_path / 'run'}" in argv.prepare(["train.py", "resume=run"])


def test_the_last_resume_counts(tmp_path: Path) -> None:
    folder = _run_folder(tmp_path / "run", "- lr=1\n")
    prepared = argv.prepare(["train.py", "resume=/no/such", f"resume={folder}"])
    assert prepared[:4] == ["train.py", "lr=1", f"resume={folder}", f"hydra.run.dir={folder}"]
    assert argv.prepare(["train.py", f"resume={folder}", "resume=null"])[1:] == [
        f"resume={folder}",
        "resume=null",
    ]


def test_other_settings_than_at_the_start_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _run_folder(tmp_path / "run", "- lr=1\n")
    argv.prepare(["train.py", f"resume={folder}"])
    assert capsys.readouterr().err == ""
    argv.prepare(["train.py", f"resume={folder}", "lr=2"])
    assert "lr=2" in capsys.readouterr().err


def test_an_empty_list_of_overrides(tmp_path: Path) -> None:
    folder = _run_folder(tmp_path / "run", "")
    assert argv.prepare(["train.py", f"resume={folder}"])[1] == f"resume={folder}"


@pytest.mark.parametrize("quoted", [False, True])
def test_a_run_into_a_folder_that_has_one_keeps_its_record(quoted: bool, tmp_path: Path) -> None:
    folder = _run_folder(tmp_path / "a, b", "- lr=1\n")
    word = f"hydra.run.dir={argv.quote(str(folder)) if quoted else folder}"
    assert argv.prepare(["train.py", word]) == ["train.py", word, "hydra.output_subdir=null"]
    fresh = f"hydra.run.dir={tmp_path / 'new'}"
    assert argv.prepare(["train.py", word, fresh]) == ["train.py", word, fresh]


def test_without_resume_nothing_changes() -> None:
    for arguments in (
        ["train.py"],
        ["train.py", "lr=1"],
        ["train.py", "resume=null"],
        ["train.py", "resume="],
    ):
        assert argv.prepare(list(arguments)) == arguments


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_resume_does_not_go_with_multirun(flag: str, tmp_path: Path) -> None:
    folder = _run_folder(tmp_path / "run", "[]")
    with pytest.raises(ConfigError, match="does not go with -m"):
        argv.prepare(["train.py", flag, f"resume={folder}"])


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    for name in (".", "no such"):
        with pytest.raises(ConfigError, match=r"not the folder of a run") as error:
            argv.prepare(["train.py", f"resume={tmp_path / name}"])
        assert error.value.key == "resume"
