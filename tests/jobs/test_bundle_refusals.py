"""What stops a launch before anything is sent: each with what to do, and doing it helps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launchers.jobs import secret_names
from sweepmaker.config.errors import ConfigError
from tests.jobs import checkouts
from tests.jobs.checkouts import build, commit, content, git, make, members, paste, write


@pytest.fixture(autouse=True)
def _plain_git() -> None:
    checkouts.use_plain_git()


def refused(checkout: Path, **changes: object) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        build(checkout, **changes)
    assert raised.value.fix
    return raised.value


AWKWARD = [
    "conf/a b.yaml",
    "conf/it's.yaml",
    "conf/new\nline.yaml",
    "src/$(touch x).py",
    "src/ä.py",
    "src/-f.py",
]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_line_to_paste_adds_what_is_missing(
    tmp_path: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = make(tmp_path / "check out")
    write(checkout, dict.fromkeys([*AWKWARD, "launchers/new.py"], "x"))
    here = tmp_path if elsewhere else checkout
    monkeypatch.chdir(here)
    error = refused(checkout)
    assert error.key == "job.include_untracked"
    assert error.fix is not None and error.fix.startswith("git -C" if elsewhere else "git add -- ")
    paste(error.fix, here)
    assert set(AWKWARD) <= set(members(build(checkout)))
    assert not (here / "x").exists()


def test_many_files_are_named_by_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(tmp_path))
    write(tmp_path, {f"conf/data/{n}.yaml": "" for n in range(40)} | {"src/x.py": ""})
    error = refused(tmp_path)
    assert "41 files" in str(error) and len(str(error)) < 600
    paste(str(error.fix), tmp_path)
    assert "conf/data/39.yaml" in members(build(tmp_path))


def test_untracked_files_go_along_when_asked_to(tmp_path: Path) -> None:
    make(tmp_path)
    write(
        tmp_path,
        {"conf/new.yaml": "n: 1", "src/new.sh": "", "net.py": "", "notes.txt": "", "tests/test_x.py": ""},
    )
    (tmp_path / "src/new.sh").chmod(0o755)
    write(tmp_path, {"launchers/new.py": "", "src/a.pyc": "", ".git/info/exclude": "*.pyc\n"})
    made = build(tmp_path, include_untracked=True)
    new = set(members(made)) - set(checkouts.FILES)
    assert new == {"conf/new.yaml", "src/new.sh", "net.py", "requirements.txt", "static_overrides.json"}
    assert members(made)["src/new.sh"].mode == 0o755
    assert made.dirty and not made.notes


def test_a_module_that_git_does_not_have_is_told(tmp_path: Path) -> None:
    make(tmp_path)
    write(tmp_path, {"net.py": "", "notes.txt": "", "tests/test_x.py": "", "conf/local/x.yaml": ""})
    made = build(tmp_path)
    assert "net.py" not in members(made) and not made.dirty
    assert len(made.notes) == 1 and "net.py" in made.notes[0]
    write(tmp_path, {"launchers/x.py": ""})
    assert not build(tmp_path, include_untracked=True).notes
    assert "notes.txt" not in made.notes[0] and "test_x" not in made.notes[0]


def test_settings_of_one_machine_never_travel(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": "", "conf/local/forced.yaml": "password: x"})
    write(tmp_path, {"conf/local/mine.yaml": "x"})
    for include_untracked in (False, True):
        made = build(tmp_path, include_untracked=include_untracked)
        assert not [name for name in members(made) if name.startswith("conf/local")]


SECRETS = [
    ".env", "src/.env.prod", "prod.env", "conf/x.pem", "src/Server.KEY", "id_rsa", "my/id_ed25519",
    "a.p12", "a.pfx", ".netrc", "credentials", ".aws/config", "x/.ssh/known_hosts", "v.kdbx",
    "conf/service-account-7.json", "kaggle.json",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_refused_until_it_is_out_of_git(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make(tmp_path, {name: "secret"}))
    error = refused(tmp_path)
    assert name in str(error) and "git rm --cached" in str(error.fix)
    paste(str(error.fix), tmp_path)
    assert (tmp_path / name).exists()
    assert name not in members(build(tmp_path, include_untracked=True))


def test_a_secret_that_git_does_not_have_is_refused_before_it_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make(tmp_path))
    write(tmp_path, {"conf/a.key": "secret", "conf/b.yaml": ""})
    for include_untracked in (False, True):
        error = refused(tmp_path, include_untracked=include_untracked)
        assert "conf/a.key" in str(error) and "git rm" not in str(error) and "conf/b.yaml" not in str(error)
    paste(str(error.fix), tmp_path)
    assert "conf/a.key" not in members(build(tmp_path, include_untracked=True))


@pytest.mark.parametrize(
    "name", [".env.example", "src/monkey.py", "conf/key.yaml", "id_rsa.pub", "src/credentials.py"]
)
def test_what_only_sounds_like_a_secret_is_none(name: str) -> None:
    assert not secret_names.is_secret(name)


def test_a_secret_that_does_not_travel_stops_nothing(tmp_path: Path) -> None:
    build(make(tmp_path, {"tests/dummy.pem": ""}))


def link(checkout: Path, name: str, target: str) -> None:
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).symlink_to(target)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("../../outside.yaml", "out of the checkout"),
        ("/etc/hostname", "out of the checkout"),
        ("nowhere.yaml", "nowhere"),
        ("link.yaml", "nowhere"),
        ("../src", "which is a folder"),
        ("local/mine.yaml", "not part of the bundle"),
        ("../.git/config", "not part of the bundle"),
        ("../tests/x.yaml", "not part of the bundle"),
    ],
)
def test_a_link_that_may_smuggle_is_refused(tmp_path: Path, target: str, said: str) -> None:
    write(tmp_path, {"outside.yaml": "", "c/conf/local/mine.yaml": ""})
    checkout = make(tmp_path / "c", {"tests/x.yaml": ""})
    link(checkout, "conf/link.yaml", target)
    commit(checkout)
    assert said in str(refused(checkout))


def test_a_link_to_a_file_of_the_bundle_becomes_a_copy(tmp_path: Path) -> None:
    make(tmp_path, {"src/a.py": "a = 1\n"})
    link(tmp_path, "src/b.py", "a.py")
    link(tmp_path, "my/c.py", "../src/b.py")
    commit(tmp_path)
    made = build(tmp_path)
    assert content(made, "src/b.py") == content(made, "my/c.py") == b"a = 1\n"
    assert members(made)["my/c.py"].isreg()


def test_a_checkout_reached_through_a_link_is_none_of_this(tmp_path: Path) -> None:
    make(tmp_path / "real")
    link(tmp_path, "through", "real")
    assert build(tmp_path / "through").sha256 == build(tmp_path / "real").sha256


def test_a_folder_that_became_a_link_is_refused(tmp_path: Path) -> None:
    checkout = make(tmp_path / "c", {"my/net.py": ""})
    write(tmp_path, {"other/net.py": "other"})
    (checkout / "my").rename(tmp_path / "was")
    link(checkout, "my", "../other")
    assert "my is (in) a link" in str(refused(checkout))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    make(tmp_path, {"conf/x.yaml": ""})
    (tmp_path / "conf/x.yaml").unlink()
    os.mkfifo(tmp_path / "conf/x.yaml")
    assert "neither a file nor a link" in str(refused(tmp_path))


def test_a_repository_in_the_repository_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    make(tmp_path / "src" / "theirs")
    for include_untracked in (False, True):
        assert "src/theirs" in str(refused(tmp_path, include_untracked=include_untracked))
    git(tmp_path, "-c", "advice.addEmbeddedRepo=false", "add", "src/theirs")
    assert "submodule" in str(refused(tmp_path))


def test_without_train_py_there_is_nothing_to_start(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "train.py").unlink()
    assert "train.py" in str(refused(tmp_path))


# git itself


def test_outside_of_a_checkout(tmp_path: Path) -> None:
    os.environ["GIT_CEILING_DIRECTORIES"] = str(tmp_path)
    write(tmp_path / "c", checkouts.FILES)
    error = refused(tmp_path / "c")
    assert "not a git checkout" in str(error)
    paste(str(error.fix), tmp_path)
    build(tmp_path / "c")


def test_without_git(tmp_path: Path) -> None:
    make(tmp_path / "c")
    os.environ["PATH"] = str(tmp_path)
    assert "git is not installed" in str(refused(tmp_path / "c"))


def test_a_bare_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare")
    assert "bare" in str(refused(tmp_path))


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, checkouts.FILES)
    error = refused(tmp_path)
    assert "no commit yet" in str(error)
    paste(str(error.fix), tmp_path)
    build(tmp_path)


def test_a_repository_around_it_that_has_none_of_its_files(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, {"dotfile": ""})
    commit(tmp_path)
    write(tmp_path / "c", checkouts.FILES)
    assert "git has no file of" in str(refused(tmp_path / "c"))


def test_a_repository_of_another_user(tmp_path: Path) -> None:
    make(tmp_path)
    os.environ["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"  # git's own switch for this
    os.environ["GIT_CONFIG_GLOBAL"] = str(tmp_path / "gitconfig")
    error = refused(tmp_path)
    assert "another user" in str(error)
    paste(str(error.fix), tmp_path)
    assert str(tmp_path) in (tmp_path / "gitconfig").read_text()


def test_an_unfinished_merge(tmp_path: Path) -> None:
    make(tmp_path)
    for branch, text in (("a", "lr: 3\n"), ("b", "lr: 4\n")):
        git(tmp_path, "checkout", "-q", "-b", branch, "HEAD" if branch == "a" else "HEAD~")
        write(tmp_path, {"conf/train.yaml": text})
        commit(tmp_path)
    with pytest.raises(Exception, match="merge"):
        git(tmp_path, "merge", "a")
    assert "middle of a merge" in str(refused(tmp_path))


def test_an_unreadable_index(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / ".git/index").write_bytes(b"broken")
    assert "git " in str(refused(tmp_path).fix)
