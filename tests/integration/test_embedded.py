"""Command lines of a newcomer with ``where=embedded``: the real scripts, the real server, a tiny network."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from launchers.embedded.runtimes.order import ROOT_MARK
from tests.images import class_tree
from tests.integration.runs import CHECKOUT, TINY, Ended, module, script

LAUNCH = (*TINY, "epochs=2", "where=embedded", "job.include_untracked=true")


def embedded(root: Path, *words: str) -> Ended:
    """``python -m launchers.embedded WORDS``."""
    return module("launchers.embedded", *words, "--root", str(root), cwd=CHECKOUT)


def left(root: Path) -> list[str]:
    """Command lines of processes that belong to the server of ``root``, or are it."""
    found = []
    for one in psutil.process_iter():
        try:
            mine = one.environ().get(ROOT_MARK) == str(root) or str(root) in one.cmdline()
            if mine and one.status() != psutil.STATUS_ZOMBIE:
                found.append(shlex.join(one.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("embedded")
    yield folder
    embedded(folder / ".embedded", "stop")


@pytest.fixture(scope="module")
def sweep(place: Path) -> Ended:
    return script("launch.py", "-m", *LAUNCH, "lr=1e-3,1e-2", "job.max_parallel_jobs=2", "data.cache=disk",
                  cwd=place)  # fmt: skip


@pytest.mark.xdist_group("embedded")
def test_a_sweep_ends_with_a_best_trial_and_its_hyperparameters(place: Path, sweep: Ended) -> None:
    assert sweep.code == 0, sweep.err
    told = json.loads(sweep.out.splitlines()[-1])
    assert told["status"] == "Completed"
    assert told["best"]["params"]["lr"] in ("0.001", "0.01")
    folder = place / told["folder"]
    for number in (0, 1):
        run = json.loads((folder / str(number) / "run.json").read_text())
        assert run["state"] == "completed"
        assert (folder / str(number) / "model" / "model.safetensors").stat().st_size > 1_000_000
        assert (
            len((folder / str(number) / "metrics.csv").read_text().splitlines()) == 4
        )  # head, two epochs, test
    assert told["best"]["value"] == max(
        json.loads((folder / str(number) / "run.json").read_text())["objective"]["value"] for number in (0, 1)
    )
    assert "Completed" in sweep.err
    assert told["best"]["command"] in sweep.err


@pytest.mark.xdist_group("embedded")
def test_the_trials_of_a_sweep_decode_their_images_once(place: Path, sweep: Ended) -> None:
    folder = place / json.loads(sweep.out.splitlines()[-1])["folder"]
    files = {json.loads((folder / number / "run.json").read_text())["data"]["cache"] for number in "01"}
    assert files == {str(next((place / ".embedded" / "cache").glob("pixels-*.cache")))}


@pytest.mark.slow
@pytest.mark.xdist_group("embedded")
def test_a_cache_stands_in_the_place_of_the_images(place: Path, sweep: Ended) -> None:
    images = class_tree(place / "photos", images=6, size=(60, 40))
    data = ["data=folder", "image_size=32", "batch_size=4"]
    uri = "data.cache_uri=s3://sweepmaker/caches/photos"
    words = ["action=cache", *data, f"data.root={images}", uri, "where=embedded"]
    for sent in (1, 0):  # content-addressed: once is enough
        built = script("data.py", *words, cwd=place)
        assert built.code == 0, built.err
        assert json.loads(built.out)["sent"] == sent
    run = ["debug=fast", "model.name=mobilenet_v3_small", "model.weights=none", *data, "trainer.threads=1"]
    here = place / "here"
    assert script("train.py", *run, f"data.root={images}", f"hydra.run.dir={here}", cwd=place).code == 0
    images.rename(place / "away")
    launched = script("launch.py", *run, uri, "where=embedded", "job.include_untracked=true", cwd=place)
    assert launched.code == 0, launched.err
    folder = place / json.loads(launched.out.splitlines()[-1])["folder"]
    there, ours = (json.loads((each / "run.json").read_text()) for each in (folder, here))
    assert there["data"]["fingerprint"] == ours["data"]["fingerprint"]
    assert there["data"]["counts"] == ours["data"]["counts"]
    assert there["data"]["stats"] == ours["data"]["stats"]
    assert "/input/data/cache/" in there["data"]["cache"]


@pytest.mark.xdist_group("embedded")
def test_the_words_it_says_to_train_the_best_here_train(place: Path, sweep: Ended) -> None:
    command = shlex.split(json.loads(sweep.out.splitlines()[-1])["best"]["command"])
    assert command[:2] == ["python", "train.py"]
    assert script("train.py", *command[2:], "debug=fast", cwd=place).code == 0


@pytest.mark.xdist_group("embedded")
def test_list_watch_stop_and_collect(place: Path, sweep: Ended) -> None:
    name = json.loads(sweep.out.splitlines()[-1])["name"]
    listed = script("launch.py", "action=list", "where=embedded", cwd=place)
    assert (listed.code, name in listed.out) == (0, True), listed
    for action in ("watch", "attach", "collect"):
        again = script("launch.py", f"action={action}", f"job.name={name}", "where=embedded", cwd=place)
        assert again.code == 0, again.err
        assert "2 unchanged" in again.err
    wrong = script("launch.py", "action=watch", "job.name=nobody", "where=embedded", cwd=place)
    assert wrong.code in (1, 2)
    assert "nobody" in wrong.err
    assert "Traceback" not in wrong.err


@pytest.mark.xdist_group("embedded")
def test_one_training_job_and_a_stop(place: Path, sweep: Ended) -> None:
    sent = script("launch.py", *LAUNCH, "epochs=500", "wait=false", cwd=place)
    assert sent.code == 0, sent.err
    name = json.loads(sent.out.splitlines()[-1])["name"]
    stopped = script("launch.py", "action=stop", f"job.name={name}", "where=embedded", cwd=place)
    assert stopped.code == 0, stopped.err
    ended = script("launch.py", "action=watch", f"job.name={name}", "where=embedded", cwd=place)
    assert "Stopped" in ended.err
    assert ended.code == 0, ended.err


@pytest.mark.xdist_group("embedded")
def test_told_to_stop_it_leaves_nothing_behind(place: Path, sweep: Ended) -> None:
    root = place / ".embedded"
    assert left(root)
    ended = embedded(root, "stop")
    assert (ended.code, ended.out) == (0, ""), ended
    assert left(root) == []
    assert not (root / "server.json").exists()
    assert embedded(root, "stop").code == 0  # once more is no mistake
