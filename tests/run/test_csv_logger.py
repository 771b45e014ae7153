"""metrics.csv: rows by step, columns that grow, never wiped, cut back to the checkpoint."""

from __future__ import annotations

import csv
import math
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.utilities import rank_zero_only

from sweepmaker.config.errors import UserError
from sweepmaker.run.csv_logger import MetricsCSV
from tests.run.disk import small_files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def log(logger: MetricsCSV, step: int, epoch: int = 0, **metrics: float) -> None:
    logger.log_metrics({"epoch": epoch, **metrics}, step=step)


def test_what_comes_at_the_same_step_shares_a_row(path: Path) -> None:
    logger = MetricsCSV(path)
    log(logger, 1, loss=0.5)
    log(logger, 1, acc=0.25)
    log(logger, 2, loss=0.125)
    logger.flush()
    assert rows(path) == [
        {"epoch": "0", "step": "1", "loss": "0.5", "acc": "0.25"},
        {"epoch": "0", "step": "2", "loss": "0.125", "acc": ""},
    ]


def test_another_epoch_is_another_row(path: Path) -> None:
    logger = MetricsCSV(path)
    log(logger, 1, epoch=0, loss=1)
    log(logger, 1, epoch=1, loss=2)
    logger.finalize("success")
    assert [row["epoch"] for row in rows(path)] == ["0", "1"]


@pytest.mark.parametrize("again", [False, True], ids=["same process", "another process"])
def test_a_row_that_a_checkpoint_flushed_goes_on(path: Path, again: bool) -> None:
    logger = MetricsCSV(path)
    log(logger, 0, loss=1)
    log(logger, 1, loss=0.5)
    logger.flush()
    known = logger.rows
    if again:
        logger = MetricsCSV(path)
        logger.truncate(known)
    log(logger, 1, valid=0.75)
    assert logger.rows == known == 2
    logger.flush()
    assert [(row["loss"], row["valid"]) for row in rows(path)] == [("1.0", ""), ("0.5", "0.75")]
    log(logger, 1, valid=0.875)  # now without a new column
    logger.flush()
    assert rows(path)[-1]["valid"] == "0.875"
    assert len(rows(path)) == 2


def test_a_pending_row_counts(path: Path) -> None:
    logger = MetricsCSV(path)
    assert logger.rows == 0
    log(logger, 1, loss=1)
    assert logger.rows == 1
    assert not path.exists()
    logger.flush()
    logger.flush()
    assert logger.rows == 1


def test_columns_grow_and_keep_their_order(path: Path) -> None:
    logger = MetricsCSV(path)
    log(logger, 1, b=1)
    log(logger, 2, c=2, a=3)
    log(logger, 3, b=4)
    logger.flush()
    assert path.read_text().splitlines()[0] == "epoch,step,seconds,b,c,a"
    assert [row["a"] for row in rows(path)] == ["", "3.0", ""]


def test_a_row_of_known_columns_is_appended_without_rewriting(path: Path) -> None:
    logger = MetricsCSV(path)
    log(logger, 1, loss=1)
    logger.flush()
    inode, before = path.stat().st_ino, path.read_text()
    log(logger, 2, loss=2)
    logger.flush()
    assert path.stat().st_ino == inode
    assert path.read_text().startswith(before)
    assert len(path.read_text()) > len(before)


def test_an_existing_file_is_kept_and_continued(path: Path) -> None:
    first = MetricsCSV(path)
    log(first, 1, loss=1)
    first.finalize("failed")
    second = MetricsCSV(path)
    assert second.rows == 1
    log(second, 2, loss=2)
    second.flush()
    assert [row["loss"] for row in rows(path)] == ["1.0", "2.0"]


@pytest.mark.parametrize("keep", range(4))
def test_truncate(path: Path, keep: int) -> None:
    logger = MetricsCSV(path)
    for step in range(3):
        log(logger, step, **{"loss": step, f"only{step}": 1})
    again = logger if keep % 2 else MetricsCSV(path)
    logger.flush()
    again = logger if keep % 2 else MetricsCSV(path)
    again.truncate(keep)
    assert [row["step"] for row in rows(path)] == ["0", "1", "2"][:keep]
    header = path.read_text().splitlines()[0].split(",")
    assert ("only1" in header) == (keep > 1)
    log(again, 7, loss=7)
    again.flush()
    assert rows(path)[-1]["step"] == "7"


def test_truncating_to_nothing_is_like_a_fresh_start(path: Path) -> None:
    logger = MetricsCSV(path)
    log(logger, 1, old=1)
    logger.flush()
    logger = MetricsCSV(path)
    logger.truncate(0)
    log(logger, 1, new=1)
    logger.flush()
    assert rows(path) == [{"epoch": "0", "step": "1", "new": "1.0"}]


def test_a_row_cut_off_by_a_kill_is_dropped(path: Path) -> None:
    logger = MetricsCSV(path)
    for step in range(3):
        log(logger, step, loss=step + 0.25)
    logger.flush()
    whole = path.read_text()
    for cut in range(len(whole.splitlines(keepends=True)[-1])):
        path.write_text(whole[: len(whole) - 1 - cut])
        assert MetricsCSV(path).rows == 2
        assert [row["loss"] for row in rows(path)] == ["0.25", "1.25"]


@settings(max_examples=60, deadline=None)
@given(value=st.floats())
def test_values_come_back_exactly(value: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.csv"
        logger = MetricsCSV(path)
        log(logger, 1, x=value)
        logger.flush()
        found = float(rows(path)[0]["x"])
        assert found == value or (math.isnan(found) and math.isnan(value))
        assert MetricsCSV(path)._rows[0]["x"] == repr(value)


def test_names_with_commas_and_quotes_survive(path: Path) -> None:
    logger = MetricsCSV(path)
    log(logger, 1, **{'a,"b"\n': 1.0})
    logger.flush()
    log(MetricsCSV(path), 2, x=1)
    assert rows(path)[0]['a,"b"\n'] == "1.0"


def test_seconds_go_on_where_the_last_process_left_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    logger = MetricsCSV(path)
    now = 130.0
    log(logger, 1, x=1)
    now = 190.0
    log(logger, 2, x=2)
    logger.flush()
    now = 5.0  # another machine, another clock
    again = MetricsCSV(path)
    assert again.seconds == 90
    again.truncate(1)
    now = 6.5
    assert again.seconds == 31.5


def test_only_rank_zero_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = MetricsCSV(path)
    log(first, 1, x=1)
    first.flush()
    before = path.stat().st_ino, path.read_text()
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    other = MetricsCSV(path)
    other.truncate(0)
    log(other, 2, new=1)
    other.flush()
    other.finalize("success")
    assert (path.stat().st_ino, path.read_text()) == before


@pytest.mark.parametrize("rows", [0, 40], ids=["a new file", "a row appended"])
def test_a_full_disk_names_the_file(path: Path, rows: int) -> None:
    logger = MetricsCSV(path, resume=path.parent)
    for step in range(rows):
        log(logger, step, loss=0.5)
    logger.flush()
    room = path.stat().st_size if rows else 0
    log(logger, rows, loss=0.25)
    with small_files(room), pytest.raises(UserError) as error:
        logger.flush()
    assert f"could not write {path}: File too large" in str(error.value)
    assert f"free disk space, then continue with: python train.py resume={path.parent}" in str(error.value)
    assert MetricsCSV(path).rows == rows
