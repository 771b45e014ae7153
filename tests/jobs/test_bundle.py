"""What goes into the source bundle, and what is left out."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

from launchers.jobs import bundle
from sweepmaker.config.errors import ConfigError
from tests.jobs import checkouts
from tests.jobs.checkouts import build, commit, content, git, make, members, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _plain_git() -> None:
    checkouts.use_plain_git()


def test_it_holds_what_a_trial_needs(tmp_path: Path) -> None:
    made = build(make(tmp_path, {"my_models/net.py": "x = 1\n", "my_module.py": "", "LICENSE": "free"}))
    assert list(members(made)) == [
        "LICENSE", "conf/train.yaml", "my_models/net.py", "my_module.py", "pyproject.toml",
        "requirements.lock", "requirements.txt", "src/sweepmaker/__init__.py",
        "static_overrides.json", "train.py",
    ]  # fmt: skip
    assert content(made, "my_models/net.py") == b"x = 1\n"
    assert made.files == tuple((name, member.size) for name, member in members(made).items())


def test_it_leaves_out_what_a_trial_does_not_need(tmp_path: Path) -> None:
    extra = {
        "tests/test_x.py": "", "docs/x.md": "", "benchmarks/x.py": "", "launchers/jobs/x.py": "",
        "launch.py": "", "README.md": "", "docker/Dockerfile": "",
        "conf/where/mine.yaml": "role: r", "conf/launch.yaml": "", ".ci/run": "", "conf/job/big.yaml": "",
    }  # fmt: skip
    made = build(make(tmp_path, {**extra, "conf/jobs.yaml": "", "testsuite/x.py": "", "src/tests/x.py": ""}))
    assert not set(extra) & set(members(made))
    assert {"conf/jobs.yaml", "testsuite/x.py", "src/tests/x.py"} <= set(members(made))


def test_files_go_as_they_are_on_disk(tmp_path: Path) -> None:
    make(tmp_path, {"conf/old.yaml": "", "src/gone/a.py": "", "src/was_file": "x"})
    before = build(tmp_path)
    write(tmp_path, {"conf/train.yaml": "lr: 2\n"})
    (tmp_path / "conf/old.yaml").unlink()
    (tmp_path / "src/gone/a.py").unlink()
    (tmp_path / "src/gone").rmdir()
    (tmp_path / "src/was_file").unlink()
    (tmp_path / "src/was_file").mkdir()
    after = build(tmp_path)
    assert content(after, "conf/train.yaml") == b"lr: 2\n"
    assert set(members(before)) - set(members(after)) == {"conf/old.yaml", "src/gone/a.py", "src/was_file"}
    assert (before.dirty, after.dirty) == (False, True)
    assert before.commit == after.commit == git(tmp_path, "rev-parse", "HEAD").strip()


def test_modes_are_those_of_git(tmp_path: Path) -> None:
    make(tmp_path, {"src/tool.sh": "true\n", "src/plain.sh": "true\n"})
    git(tmp_path, "config", "core.fileMode", "false")
    git(tmp_path, "update-index", "--chmod=+x", "src/tool.sh")
    (tmp_path / "src/plain.sh").chmod(0o777)
    found = members(build(tmp_path))
    assert (found["src/tool.sh"].mode, found["src/plain.sh"].mode) == (0o755, 0o644)
    for member in found.values():
        assert member.isreg()
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")


def test_only_the_folder_of_train_py_counts_in_a_larger_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, {"other/src/x.py": "", "big.bin": bytes(100)})
    write(tmp_path / "vision", checkouts.FILES)
    commit(tmp_path)
    write(tmp_path, {"src/new.py": "", "big.bin": b"changed"})
    made = build(tmp_path / "vision")
    assert "other/src/x.py" not in members(made) and "train.py" in members(made)
    assert not made.dirty


def test_static_overrides_go_along(tmp_path: Path) -> None:
    made = bundle.build(
        make(tmp_path), ["+experiment=b2", "x='a, b'"], {"data": "data.root"},
        packages="image", include_untracked=False, max_mb=50,
    )  # fmt: skip
    static = json.loads(content(made, "static_overrides.json"))
    assert static["overrides"] == ["+experiment=b2", "x='a, b'"]
    assert static["channels"] == {"data": "data.root"}


AWKWARD = ["conf/ä ö.yaml", "conf/new\nline.yaml", "src/-n'q\"$(x).py", "src/%41\\x.py", b"src/\xff.py"]


def test_any_name_survives(tmp_path: Path) -> None:
    names = [os.fsdecode(name) for name in AWKWARD] + ["conf/" + "/".join(["d" * 90] * 4) + ".yaml"]
    made = build(make(tmp_path, {name: name.encode(errors="surrogateescape") for name in names}))
    assert set(names) <= set(members(made))
    with tarfile.open(fileobj=io.BytesIO(made.data), mode="r:gz") as archive:
        archive.extractall(tmp_path / "out", filter="data")
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == name.encode(errors="surrogateescape")


def test_the_digest_is_that_of_the_tar_and_the_header_tells_nothing(tmp_path: Path) -> None:
    made = build(make(tmp_path))
    assert made.sha256 == hashlib.sha256(zlib.decompress(made.data, 31)).hexdigest()
    assert made.data[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name, no time, no system


def test_any_difference_shows_in_the_digest(tmp_path: Path) -> None:
    make(tmp_path)
    digests = {
        build(tmp_path).sha256,
        build(tmp_path, ("lr=2",)).sha256,
        build(tmp_path, packages="image").sha256,
    }
    git(tmp_path, "update-index", "--chmod=+x", "train.py")
    digests.add(build(tmp_path).sha256)
    git(tmp_path, "mv", "conf/train.yaml", "conf/train2.yaml")
    digests.add(build(tmp_path).sha256)
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("files", "changes", "said"),
    [
        ({"static_overrides.json": "{}"}, {}, "static_overrides.json"),
        ({"setup.py": ""}, {"packages": "image"}, "setup.py"),
        ({"requirements.txt": "x"}, {}, "job.packages: requirements.txt"),
        ({"wheelhouse/x.whl": "x"}, {"packages": "wheelhouse"}, "job.packages: wheelhouse/"),
        ({"requirements.txt/x": "x"}, {}, "job.packages: requirements.txt"),
        ({}, {"packages": "conda"}, "job.packages: 'conda'"),
    ],
)
def test_what_the_toolkit_would_take_for_its_own_is_refused(
    tmp_path: Path, files: dict[str, str], changes: dict[str, str], said: str
) -> None:
    make(tmp_path, files)
    with pytest.raises(ConfigError, match=said):
        build(tmp_path, **changes)


def test_names_that_matter_elsewhere_only_are_fine(tmp_path: Path) -> None:
    make(tmp_path, {"requirements.txt": "x", "wheelhouse/x": "", "my/setup.py": ""})
    assert "requirements.txt" in members(build(tmp_path, packages="image"))
    (tmp_path / "requirements.txt").unlink()  # a deleted file is in nobody's way
    assert content(build(tmp_path), "requirements.txt").startswith(b"--require-hashes\n")


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_without_a_lock_nothing_says_what_to_install(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    git(tmp_path, "rm", "-q", "--cached", name)
    with pytest.raises(ConfigError, match=f"job.packages: {name}"):
        build(tmp_path)
    assert "requirements.txt" not in members(build(tmp_path, packages="image"))


def test_too_much_is_refused_with_the_five_largest(tmp_path: Path) -> None:
    make(tmp_path, {f"big/{n}": bytes(n * 10_000) for n in range(1, 9)} | {"tests/data": bytes(10**6)})
    with pytest.raises(ConfigError) as raised:
        build(tmp_path, max_mb=0.3)
    message = str(raised.value)
    assert message.startswith("job.max_bundle_mb: ")
    assert [name for name in [f"big/{n}" for n in range(1, 9)] if f"{name} (" in message] == [
        "big/4", "big/5", "big/6", "big/7", "big/8"
    ]  # fmt: skip
    assert "tests/data" not in message
    assert "job.max_bundle_mb=1" in message
    build(tmp_path, max_mb=1)


def test_this_checkout_makes_a_bundle_that_composes(tmp_path: Path) -> None:
    # read only; files that are still to be added to git must not decide over the test
    made = build(ROOT, include_untracked=True, packages="image")
    names = set(members(made))
    assert {"train.py", "conf/train.yaml", "src/sweepmaker/container/entry.py", "LICENSE"} <= names
    assert not [name for name in names if name.startswith(("tests/", "launchers/", "docs/", "conf/where/"))]
    assert sum(size for _, size in made.files) < 5_000_000
    with tarfile.open(fileobj=io.BytesIO(made.data), mode="r:gz") as archive:
        archive.extractall(tmp_path, filter="data")
    os.environ.pop("PYTHONPATH", None)
    command = [sys.executable, "train.py", "+experiment=b2", "lr=0.5", "--cfg", "job"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "lr: 0.5" in done.stdout
