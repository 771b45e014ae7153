"""What a trial runs: a script from a bundle, a shell script, a command, an image of our own."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from launchers.embedded.runtimes import linux, unpack
from launchers.embedded.runtimes.fork import Fork
from tests.container.containers import code_with
from tests.embedded.trials import DEADLINE_S, Trial, at_work, pack

pytestmark = [
    pytest.mark.skipif(not linux.HERE, reason="forking is for Linux"),
    pytest.mark.xdist_group("fork"),  # one warm process for all of them
]


@pytest.mark.parametrize(
    ("hyperparameters", "said"),
    [
        ({"sagemaker_program": "../x.py"}, "no path within the code"),
        ({"sagemaker_program": "train.py", "sagemaker_mpi_enabled": "true"}, "not available here"),
        ({"sagemaker_program": "train.py", "sagemaker_submit_directory": "/opt/ml/nowhere"}, "neither"),
        ({"sagemaker_program": "missing.py"}, "ExitCode 2"),
    ],
)
def test_a_job_that_cannot_be_started_says_why(
    runtime: Fork, tmp_path: Path, hyperparameters: dict[str, str], said: str
) -> None:
    trial = Trial(tmp_path / "job", None, hyperparameters)
    assert trial.run(runtime) == 1
    assert said in (trial.failure or "")


def test_code_from_a_channel_whole_and_damaged(runtime: Fork, tmp_path: Path) -> None:
    sent = {
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": "/opt/ml/input/data/code/a.tar.gz",
    }
    for name, code in (("whole", 0), ("damaged", 1)):
        trial = Trial(tmp_path / name, None, sent)
        archive = trial.ml / "input" / "data" / "code" / "a.tar.gz"
        archive.parent.mkdir(parents=True)
        pack(archive, {"train.py": "print(1)\n" * 1000})
        if code:
            archive.write_bytes(archive.read_bytes()[:60])
        assert trial.run(runtime) == code
        assert ("cannot be unpacked" in (trial.failure or "")) == bool(code)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", ["../out.py", "/tmp/out.py", "link"])
def test_an_archive_that_reaches_out_is_refused(
    tmp_path: Path, name: str, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if old:
        monkeypatch.delattr("tarfile.data_filter")
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        if name == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "../../out.py"
        tar.addfile(member)
    if name.startswith("/") and not old:  # there the name loses its slash
        unpack.place(tmp_path / "ml", archive, {}, tmp_path / "kept")
        return
    with pytest.raises(unpack.CodeError, match="cannot be unpacked"):
        unpack.place(tmp_path / "ml", archive, {}, tmp_path / "kept")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != archive]


def test_code_is_unpacked_once_and_no_trial_changes_what_the_next_one_gets(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    pack(archive, {"train.py": "print(1)\n", "src/part.py": "x = 1\n"})
    for number in range(2):
        ml = tmp_path / f"ml{number}"
        unpack.place(ml, archive, {}, tmp_path / "kept")
        assert (ml / "code" / "train.py").read_text() == "print(1)\n"
        assert (ml / "code" / "src" / "part.py").read_text() == "x = 1\n"
        (ml / "code" / "train.py").write_text("print(2)\n")
        (ml / "code" / "src" / "part.py").unlink()
    (whole,) = (tmp_path / "kept").iterdir()
    assert whole.name == unpack.mark(archive)
    archive.unlink()
    pack(archive, {"train.py": "print(3)\n"})
    unpack.place(tmp_path / "other", archive, {}, tmp_path / "kept")
    assert [path.name for path in (tmp_path / "other" / "code").iterdir()] == ["train.py"]


def test_of_a_large_archive_there_is_no_second_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "_KEPT_BYTES", 10)
    archive = tmp_path / "a.tar.gz"
    pack(archive, {"train.py": "print(1)\n"})
    unpack.place(tmp_path / "ml", archive, {}, tmp_path / "kept")
    assert (tmp_path / "ml" / "code" / "train.py").is_file()
    assert not (tmp_path / "kept").exists()


def test_shell_scripts_and_commands_run_too(runtime: Fork, tmp_path: Path) -> None:
    shell = Trial(
        tmp_path / "shell", None, {"sagemaker_program": "run.sh", "word": "a b"},
    )  # fmt: skip
    shell.folder.mkdir()
    (shell.ml / "code").mkdir(parents=True)
    (shell.ml / "code" / "run.sh").write_text('#!/bin/sh\necho "$1=$2" "$SM_HP_WORD"\n')
    assert shell.run(runtime) == 0
    assert shell.text == "--word=a b a b\n"
    words = ("/bin/sh", "-c", "cat /opt/ml/input/config/checkpointconfig.json; exit 5")
    command = Trial(tmp_path / "command", None, entrypoint=words)
    assert command.run(runtime) == 5
    assert json.loads(command.text) == {"LocalPath": "/opt/ml/checkpoints"}
    assert command.failure is None
    missing = Trial(tmp_path / "missing", None, entrypoint=("/no/such/program",))
    assert missing.run(runtime) == 127


OWN_IMAGE = """
import sys, time, signal, os
from pathlib import Path
print("started", Path.cwd().name, *sys.argv[1:2], flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
time.sleep(600)
"""


def test_without_a_program_it_is_an_image_of_our_own(runtime: Fork, tmp_path: Path) -> None:
    trial = Trial(tmp_path / "job", None, {"lr": "0.5"})
    folder = code_with(tmp_path / "code", OWN_IMAGE)
    archive = trial.ml / "input" / "data" / "code" / "sourcedir.tar.gz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        for path in folder.iterdir():
            tar.add(path, path.name)
    handle = at_work(trial, runtime)
    assert "lr=0.5" in trial.text
    handle.terminate()
    assert handle.wait(DEADLINE_S) == 9
    assert trial.failure


def test_a_command_that_does_not_listen_to_sigterm_goes_on_as_pid_1_would(
    runtime: Fork, tmp_path: Path
) -> None:
    words = ("/bin/sh", "-c", "echo started; while :; do sleep 0.05; [ -e /opt/ml/go ] && exit 6; done")
    deaf = Trial(tmp_path / "deaf", None, entrypoint=words)
    handle = at_work(deaf, runtime)
    handle.terminate()
    assert handle.wait(0.3) is None
    (deaf.ml / "go").touch()
    assert handle.wait(DEADLINE_S) == 6
    words = ("/bin/sh", "-c", "trap 'exit 7' TERM; echo started; while :; do sleep 0.05; done")
    handle = at_work(Trial(tmp_path / "listening", None, entrypoint=words), runtime)
    handle.terminate()
    assert handle.wait(DEADLINE_S) == 7
