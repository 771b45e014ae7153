"""``runs=``: folders and globs whatever their names are, and the filters."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sweepmaker.compare import filters, reading, times
from sweepmaker.compare.run import Run, by_key
from sweepmaker.compare.select import select
from sweepmaker.compare.settings import options
from sweepmaker.config import argv
from sweepmaker.config.errors import ConfigError
from tests.compare.folders import make_launch, make_run, make_sweep
from tests.integration.runs import CHECKOUT

LETTERS = st.sampled_from("ab1=,'\"[]{}()*?$ \\~#:é") | st.characters(exclude_categories=("C",))
NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(
    lambda name: "/" not in name and name not in (".", "..") and len(os.fsencode(name)) < 200
)


def chosen(only: Any = None, **given: Any) -> Any:
    """Options as the command line gives them."""
    base = OmegaConf.load(CHECKOUT / "conf" / "compare.yaml")
    for name in ("hydra", "defaults"):  # Hydra's own
        base.pop(name)
    given |= {} if only is None else {"only": only}
    return options(OmegaConf.merge(base, given))  # type: ignore[arg-type]


@settings(max_examples=80, deadline=None)
@given(NAMES)
@example("a, b=c")
@example("[ab]*")
@example("${x}")
@example("~")
def test_any_name_is_found_as_it_is_quoted(name: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        run = Path(root, name, "0")
        (run / ".hydra").mkdir(parents=True)
        word = argv.quote(str(run.parent))
        override = OverridesParser.create().parse_override(f"runs={word}")
        given = OmegaConf.create({"runs": override.value()}).runs
        assert select([given]).folders == [run]


@settings(max_examples=80, deadline=None)
@given(st.text(min_size=1, max_size=20), st.text(max_size=30))
def test_an_override_keeps_its_value_whatever_is_in_it(key: str, value: str) -> None:
    plain = key.replace("=", "").strip().lstrip("+~")
    if plain and not key.startswith("~"):
        assert by_key([f"{plain}={value}"]) == {plain: value}
        assert by_key([f"++{plain}={value}"]) == {plain: value}


def test_globs_lists_and_parents_give_each_run_once(tmp_path: Path) -> None:
    make_sweep(tmp_path / "multirun" / "a", [1e-3] * 11)
    single = make_run(tmp_path / "outputs" / "b")
    found = select([str(tmp_path / "multirun" / "*"), str(tmp_path), str(single)]).folders
    assert [path.name for path in found] == [*map(str, range(11)), "b"]  # 2 before 10
    assert select([str(tmp_path / "**" / "1*")]).folders == [
        tmp_path / "multirun" / "a" / n for n in ("1", "10")
    ]


def test_what_is_inside_of_a_run_and_behind_a_link_is_none(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    make_run(run / "model" / "code")
    (tmp_path / "again").symlink_to(run)
    (tmp_path / "round").symlink_to(tmp_path)
    assert select([str(tmp_path)]).folders == [run]
    assert select([str(tmp_path / "again")]).folders == [tmp_path / "again"]


def test_a_run_of_a_sweep_that_left_nothing_is_listed(tmp_path: Path) -> None:
    make_sweep(tmp_path / "sweep", [1e-3])
    (tmp_path / "sweep" / "1").mkdir()
    assert [path.name for path in select([str(tmp_path)]).folders] == ["0", "1"]


def test_a_job_that_is_not_collected_is_said(tmp_path: Path) -> None:
    make_launch(tmp_path / "multirun" / "a", {}, name="sweep-7")
    with pytest.raises(ConfigError, match=r"action=collect .*sweep-7"):
        select([str(tmp_path)])
    make_run(tmp_path / "run")
    assert "sweep-7" in select([str(tmp_path)]).notes[0]


@pytest.mark.parametrize(
    ("given", "message"), [("no/such", "nothing matches"), ("*.txt", "nothing"), (".", "no run")]
)
def test_nothing_there_is_one_message(
    given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message) as error:
        select([given])
    assert error.value.key == "runs" and error.value.exit_code == 2


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "a" / "run")
    (tmp_path / "b").mkdir()
    real = os.scandir

    def refused(path: Any) -> Any:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)  # root may read everything
    found = select([str(tmp_path)])
    assert len(found.folders) == 1 and "Permission denied" in found.notes[0]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    root = tmp_path_factory.mktemp("filters")
    made = [
        make_run(root / "0", lr=1e-3, batch_size=16),
        make_run(root / "1", lr=1e-2, batch_size=32, state="failed"),
        make_run(root / "2", overrides=["+experiment=b2", "batch_size=8"], lr=3e-3,
                 git={"commit": "abcdef0123", "dirty": True}, timing={"start": "2026-11-25T10:00:00+00:00"}),
    ]  # fmt: skip
    return [reading.read(folder) for folder in made]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"overrides": {"lr": 0.001}}, "0"),
        ({"overrides": {"lr": "1e-2"}}, "1"),
        ({"overrides": {"lr": "<=3e-3"}}, "02"),  # that of 2 stands in its config only
        ({"overrides": {"lr": [0.001, "0.010"]}}, "01"),
        ({"overrides": {"batch_size": "!=16"}}, "12"),
        ({"overrides": {"lr": ">0", "batch_size": "<20"}}, "02"),
        ({"overrides": {"optimizer.weight_decay": 0.05}}, "012"),
        ({"overrides": {"no.such": 1}}, ""),
        ({"experiment": "b2"}, "2"),
        ({"state": "failed"}, "1"),
        ({"state": ["failed", "completed"]}, "012"),
        ({"since": "2026-11-24"}, "2"),
        ({"until": "2026-11-24"}, "01"),
        ({"since": "2026-11-23T00:00:00+00:00", "until": "2026-11-23T09:59+00:00"}, ""),
        ({"overrides": {"optimizer.lr": "1e-2"}}, "1"),  # ${lr} in its config
        ({"overrides": {"optimizer.lr": "<=0.003"}}, "02"),
        ({"commit": "abcd"}, "2"),
        ({"commit": "D082003"}, "01"),
    ],
)
def test_filters(given: dict[str, Any], kept: str, runs: list[Run]) -> None:
    assert "".join(run.folder.name for run in filters.keep(runs, chosen(given))) == kept


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"only": {"state": "done"}}, "only.state"),
        ({"only": {"since": "yesterday"}}, "only.since"),
        ({"only": {"since": "0001-01-01"}}, "only.since"),
        ({"only": {"until": "9999-12-31"}}, "only.until"),
        ({"only.overrides.lr": 3}, "only.overrides={lr: 3}"),
        ({"repeats": 3}, "repeats"),
        ({"html": "~nosuchuser/x"}, "html"),
        ({"html": "x" * 300}, "html"),
        ({"only": {"commit": "xyz"}}, "only.commit"),
        ({"only": {"overrides": 3}}, "only.overrides"),
        ({"only": {"sinse": "2026-11-23"}}, "did you mean only.since?"),
        ({"format": "xml"}, "format"),
        ({"mode": "max"}, "mode"),
        ({"best": True, "format": "csv"}, "best"),
        ({"watch_s": 0}, "watch_s"),
        ({"html": "no/such/folder/page.html"}, "html"),
        ({"html": "."}, "html"),
        ({"runs": []}, "runs"),
        ({"repeats": "seed", "best": "yes"}, "best"),
        ({"nonsense": 3}, "nonsense"),
    ],
)
def test_a_wrong_option_names_its_key(given: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as error:
        chosen(**given)
    assert key in str(error.value)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "~nosuchuser/x"])
def test_a_name_that_no_folder_can_have_is_one_message(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        select([name])
    assert error.value.key == "runs"


def test_the_logs_inside_of_a_run_that_a_glob_matches_are_no_runs(tmp_path: Path) -> None:
    run = make_run(tmp_path / "outputs" / "run")
    logs = run / "csv" / "version_0"
    logs.mkdir(parents=True)
    (logs / "metrics.csv").write_text("epoch,step,a\n0,1,0.5\n")
    assert select([str(tmp_path / "outputs" / "**")]).folders == [run]
    assert select([str(logs)]).folders == [logs]  # asked for by its name


def test_a_key_that_was_left_out_is_one_message() -> None:
    base = OmegaConf.load(CHECKOUT / "conf" / "compare.yaml")
    for name in ("hydra", "defaults", "format"):
        base.pop(name)
    with pytest.raises(ConfigError, match="is needed"):
        options(base)  # type: ignore[arg-type]


def test_a_day_ends_at_midnight_where_clocks_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        begun, over = times.moment("2026-10-25"), times.end("2026-10-25")
        assert (over - begun).total_seconds() == 25 * 3600
        assert times.end("2026-10-25T10:00") == times.moment("2026-10-25T10:00")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_bound_that_is_no_number_is_refused(runs: list[Run]) -> None:
    with pytest.raises(ConfigError, match="is no bound"):
        filters.keep(runs, chosen({"overrides": {"lr": "<small"}}))
