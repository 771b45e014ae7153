"""Every command of the README is run, made small; every path and make target it names exists."""

from __future__ import annotations

import base64
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.compare.folders import make_sweep
from tests.images import class_tree, photo, photo_folder
from tests.integration.runs import CHECKOUT, TINY, environment, module, script, train
from tests.needs import needs_package

README = (CHECKOUT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    shlex.split(text, comments=True) for block in BLOCKS for text in block.splitlines() if text.strip()
]
TRAIN = [words[2:] for words in COMMANDS if words[:2] == ["python", "train.py"]]
SWEEP = "multirun/2026-11-27/16-39-57-153626"  # that the README shows
OWN = {
    "my_project.Net": "tests.integration.own_code.OwnModule",
    "my_project.Data": "tests.integration.own_code.OwnData",
}


def test_the_readme_has_no_other_kind_of_command() -> None:
    assert len(TRAIN) >= 10
    assert {words[0] for words in COMMANDS} == {"make", "python"}


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == "make"], ids=" ".join)
def test_make_targets_exist(words: list[str]) -> None:
    done = subprocess.run(["make", "-n", *words[1:]], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme") / "run"
    assert train(*TINY, "debug=fast", f"hydra.run.dir={folder}").code == 0
    return folder


@pytest.mark.parametrize("words", TRAIN, ids=" ".join)
def test_train_commands_run(words: list[str], finished: Path, tmp_path: Path) -> None:
    if "data=fashion_mnist" in words:
        needs_package("/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist")
    class_tree(tmp_path / "images")
    for name, real in OWN.items():
        words = [word.replace(name, real) for word in words]
    words = [re.sub(r"outputs/\d\S+", str(finished), word) for word in words]
    small = [] if any(word.startswith(("resume=", "debug=")) for word in words) else ["debug=fast"]
    if "model=own" in words:
        small += ["+data.batch_size=50", "test=false"]  # what this project's example takes
    elif not any(word.startswith("resume=") for word in words):
        small += [argument for argument in TINY if argument.split("=")[0] not in " ".join(words)]
    if "model.finetune=gradual" in words:
        small.append("trainer.max_epochs=2")  # one for the head alone, one for everything
    if "data.root=images" in words:
        small = ["debug=fast", "batch_size=4", *TINY[:2], "image_size=32"]
        words = [word for word in words if not word.startswith(("image_size", "model.weights"))]
    ended = train(*words, *small, cwd=tmp_path)
    assert ended.code == 0, ended.err


DEPLOY = [words for words in COMMANDS if words[1:2] == ["deploy.py"]]
EMBEDDED = [
    words
    for words in COMMANDS
    if words not in DEPLOY and ("where=embedded" in words or "launchers.embedded" in words)
]
COMPARE = [words for words in COMMANDS if words[1:2] == ["compare.py"]]
OTHERS = [
    words
    for words in COMMANDS
    if words[0] == "python" and words[1] != "train.py" and words not in [*EMBEDDED, *COMPARE, *DEPLOY]
]


@pytest.mark.parametrize("words", COMPARE, ids=" ".join)
def test_compare_commands_run(words: list[str], finished: Path, tmp_path: Path) -> None:
    shown = next(word for one in COMPARE for word in one if word.startswith("runs=")).removeprefix("runs=")
    if "action=rules" in words:  # which asks what a real run has stored
        shutil.copytree(finished, tmp_path / shown / "1")
    else:
        make_sweep(tmp_path / shown, (1e-3, 3e-3, 3e-2), epochs=3)
    ended = script(*words[1:], cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert f"{shown}/1" in ended.out or "in " + shown in ended.out
    assert (tmp_path / "compare.html").exists() == ("html=compare.html" in words)


@pytest.fixture
def to_deploy(finished: Path, tmp_path: Path) -> Path:
    """A sweep and a run, both with a model, and photographs."""
    for runs in ("outputs/1", f"{SWEEP}/1"):
        shutil.copytree(finished, tmp_path / runs)
    photo_folder(tmp_path / "photos", 3, (40, 30))
    photo(7, (40, 30)).save(tmp_path / "photos" / "00007.png")
    return tmp_path


SERVE = [words for words in DEPLOY if not any(word.startswith("action=") for word in words)]


@pytest.mark.parametrize("words", SERVE, ids=" ".join)
def test_serve_commands_answer(words: list[str], to_deploy: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(CHECKOUT / "deploy.py"), *words[2:], "port=0", "workers=1"], cwd=to_deploy,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        while True:
            try:
                urllib.request.urlopen(f"{url}/ping", timeout=60)
                break
            except urllib.error.HTTPError as error:  # until the model has answered its warm-up
                assert error.code == 503
                time.sleep(0.05)
        image = (to_deploy / "photos" / "00001.jpg").read_bytes()
        text = urllib.request.Request(
            f"{url}/invocations", base64.b64encode(image), {"Content-Type": "text/plain"}
        )
        raw = urllib.request.Request(f"{url}/invocations", image, {"Content-Type": "image/jpeg"})
        number = urllib.request.urlopen(text, timeout=60).read()
        assert json.loads(urllib.request.urlopen(raw, timeout=60).read())["class"] == int(number)
    finally:
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 143), err


def test_predict_command_runs(to_deploy: Path) -> None:
    (words,) = (words for words in DEPLOY if "action=predict" in words)
    ended = script(*words[1:], cwd=to_deploy)
    assert ended.code == 0, ended.err
    assert len((to_deploy / ended.out.strip()).read_text().splitlines()) == 5


@pytest.mark.slow
def test_endpoint_commands_run_one_after_the_other(to_deploy: Path) -> None:
    endpoint = [words for words in DEPLOY if words not in SERVE and "action=predict" not in words]
    assert len(endpoint) >= 5
    try:
        for words in endpoint:
            ended = script(*words[1:], cwd=to_deploy)
            assert ended.code == 0, ended.err
            if "action=invoke" in words:
                assert json.loads(ended.out)["label"]
            if "action=list" in words:
                assert "digits" in ended.out and "InService" in ended.out
            if "dry_run=true" in words:
                assert json.loads(ended.out)
    finally:
        module("launchers.embedded", "stop", cwd=to_deploy)


@pytest.mark.parametrize("words", OTHERS, ids=" ".join)
def test_other_commands_run(words: list[str], tmp_path: Path) -> None:
    class_tree(tmp_path / "images")
    name, *rest = words[1:]
    if name == "launch.py":
        rest.append("job.include_untracked=true")  # a checkout that someone works in
    before = sorted(tmp_path.iterdir())
    ended = script(name, *rest, cwd=tmp_path)
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    assert document
    assert sorted(tmp_path.iterdir()) == before  # only train.py makes folders


def test_the_embedded_commands_run_one_after_the_other(tmp_path: Path) -> None:
    shown = next(word for words in EMBEDDED for word in words if word.startswith("job.name=")).split("=")[1]
    name = ""
    assert len(EMBEDDED) >= 6
    try:
        for words in EMBEDDED:
            words = [word.replace(shown, name) for word in words[1:]]
            if words[0] == "launch.py":
                small = [*TINY, "epochs=1", "job.max_jobs=2"] if "-m" in words else []
                swept = [word for word in small if word.split("=")[0] not in ("batch_size",)]
                words = [word for word in words if not (small and word.startswith("job.max_jobs="))]
                ended = script(*words, *swept, "job.include_untracked=true", cwd=tmp_path)
                name = name or json.loads(ended.out.splitlines()[-1])["name"]
            else:
                assert words[:2] == ["-m", "launchers.embedded"]
                ended = module(*words[1:], cwd=tmp_path)
            assert ended.code == 0, ended.err
    finally:
        module("launchers.embedded", "stop", cwd=tmp_path)
    assert not (tmp_path / ".embedded" / "server.json").exists()


def test_the_refused_sweep_is_answered_as_shown(tmp_path: Path) -> None:
    command, _, shown = README.split("$ python launch.py ")[1].split("```")[0].partition("\n")
    ended = script("launch.py", *shlex.split(command), "job.include_untracked=true", cwd=tmp_path)
    assert (ended.code, ended.err) == (2, shown)


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (CHECKOUT / target).exists(), target


def test_the_shown_mistake_is_answered_as_shown(tmp_path: Path) -> None:
    shown = README.split("$ python train.py experiment=b2\n")[1].split("```")[0]
    assert train("experiment=b2", cwd=tmp_path).err == shown
