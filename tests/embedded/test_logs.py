"""The output of trials on its way to CloudWatch: no trial can fill the server or keep it waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launchers.embedded import logs as module
from launchers.embedded.api import documents
from launchers.embedded.logs import GROUP, LogReader, show_again
from launchers.embedded.root import Root
from launchers.embedded.services import logs as kept
from launchers.embedded.services.logs import GONE, Logs
from launchers.embedded.state import State
from tests.embedded.serving import Running, serving


class Streams:
    """Takes what would go to CloudWatch."""

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {}

    def put(self, group: str, stream: str, lines: list[tuple[int, str]]) -> None:
        self.lines.setdefault(stream, []).extend(text for _, text in lines)


def test_what_is_printed_fast_is_read_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"y\n" * 300_000 + b"[metric] score=1;\nunfinished")
    streams, count = Streams(), 0
    reader = LogReader(path, 0, streams, "stream")
    parts = 0
    lines: list[str] = []
    while not lines or reader.behind:
        lines = reader.read(last=True)
        parts += 1
        count += len(lines)
        assert len(lines) < 200_000
        assert reader.position <= path.stat().st_size
    assert parts > 1
    assert lines[-2:] == ["[metric] score=1;", "unfinished"]
    assert count == 300_002
    assert reader.position == path.stat().st_size


def test_an_unfinished_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntw")
    reader = LogReader(path, 0, Streams(), "stream")
    assert reader.read(last=False) == ["one"]
    assert (reader.position, reader.behind) == (4, False)
    with path.open("ab") as file:
        file.write(b"o\n")
    assert reader.read(last=False) == ["two"]


def test_a_long_log_begins_anew_and_what_was_before_is_kept_once(tmp_path: Path) -> None:
    path, streams = tmp_path / "log", Streams()
    path.write_text("one\n" * 30 + "two\nunfi")
    reader, other = LogReader(path, 0, streams, "stream"), LogReader(path, 0, Streams(), "other")
    other.read(last=False)
    for begun in (1, 2):
        reader.cut(1000)
        assert path.stat().st_size > 100, "not yet"
        reader.cut(100)
        assert (path.stat().st_size, reader.behind) == (0, False)
        kept = (tmp_path / "log.1").read_text()
        assert kept.endswith("unfi" if begun == 1 else "four\n")
        with path.open("a") as file:
            file.write("nished\n" if begun == 1 else "")
            file.write("three\n" * 30 + "four\n" if begun == 1 else "five\n")
        other.read(last=False)
    assert reader.read(last=True) == ["five"]
    assert streams.lines["stream"] == ["one"] * 30 + ["two", "unfinished"] + ["three"] * 30 + ["four", "five"]
    assert sorted(found.name for found in tmp_path.iterdir()) == ["log", "log.1"]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path) as found:
        yield found


def put(logs: Logs, stream: str, begin: int, end: int) -> None:
    logs.put(GROUP, stream, [(1_000_000 + number, f"line {number}") for number in range(begin, end)])


def messages(client: Any, stream: str, token: str | None = None) -> tuple[list[str], str]:
    more = {"nextToken": token} if token else {}
    found = client.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, **more)
    return [one["message"] for one in found["events"]], found["nextForwardToken"]


def test_the_newest_lines_are_kept_and_followers_miss_none(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_KEPT", 100)
    logs, client = running.services.logs, running.client("logs")
    put(logs, "newest/algo-1-0", 0, 150)
    followed, token = messages(client, "newest/algo-1-0")
    for begin in range(150, 1000, 50):
        put(logs, "newest/algo-1-0", begin, begin + 50)
        more, token = messages(client, "newest/algo-1-0", token)
        followed += more
    assert followed == [f"line {number}" for number in range(1000)]
    found, _ = messages(client, "newest/algo-1-0")
    assert len(found) == 1000
    assert found.count(GONE) >= 800
    assert found[-100:] == [f"line {number}" for number in range(900, 1000)]
    assert found == sorted(
        found, key=lambda text: (text != GONE, int(text.split()[1]) if text != GONE else 0)
    )


def test_all_streams_together_are_bounded(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_TOTAL", 250)
    client = running.client("logs")
    for number in range(4):
        put(running.services.logs, f"total-{number}/algo-1-0", 0, 100)
    whole = [number for number in range(4) if GONE not in messages(client, f"total-{number}/algo-1-0")[0]]
    assert whole == [2, 3]
    monkeypatch.setattr(kept, "_MOST", 150)
    put(running.services.logs, "total-3/algo-1-0", 100, 200)
    assert len(messages(client, "total-3/algo-1-0")[0]) == 125


def test_only_the_newest_jobs_are_shown_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_JOBS", 2)
    root = Root.open(tmp_path)
    state = State(root.state)
    for name in ("one", "two", "three"):
        job = documents.training_job(
            {"TrainingJobName": name, "AlgorithmSpecification": {}, "OutputDataConfig": {}}
        )
        job.private["streams"] = [[f"{name}/algo-1-0", 0]]
        assert state.add(job, {})
        root.job(name).mkdir()
        (root.job(name) / "log").write_text(f"of {name}\n")
    streams = Streams()
    show_again(state, root, streams)
    assert streams.lines == {"two/algo-1-0": ["of two"], "three/algo-1-0": ["of three"]}
    state.close()
