"""Small git checkouts of a project like ours, made in a test's own folder."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launchers.jobs import bundle

# torch is in the image; alpha needs beta; gamma only torch needs; delta is for Windows.
LOCK = """\
alpha==1.0 \\
    --hash=sha256:{alpha}
    # via small (pyproject.toml)
beta==2.0 \\
    --hash=sha256:{beta}
    # via
    #   alpha
    #   torch
delta==4.0 ; sys_platform == 'win32' \\
    --hash=sha256:{zero}
    # via alpha
gamma==3.0 \\
    --hash=sha256:{zero}
    # via torch
torch==2.14.1 \\
    --hash=sha256:{zero}
    # via small (pyproject.toml)
"""
PROJECT = '[project]\nname = "small"\ndependencies = ["torch>=2.11", "alpha>=1.0"]\n'
FILES = {
    "train.py": "print('train')\n",
    "conf/train.yaml": "lr: 1\n",
    "src/sweepmaker/__init__.py": "",
    "pyproject.toml": PROJECT,
    "requirements.lock": LOCK.format(alpha="a" * 64, beta="b" * 64, zero="0" * 64),
    ".gitignore": "/conf/local/\n",
}


def use_plain_git() -> None:
    """Let git see no settings but these, from here to the end of the test."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]
    os.environ |= {
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    }  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True)
    return os.fsdecode(done.stdout)


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")


def make(folder: Path, files: Mapping[str, str | bytes] | None = None) -> Path:
    """A checkout in ``folder`` with `FILES` and ``files``, all in one commit."""
    write(folder, FILES | dict(files or {}))
    git(folder, "init", "-q")
    commit(folder)
    return folder


def build(checkout: Path, overrides: tuple[str, ...] = (), **changes: Any) -> bundle.Bundle:
    settings: dict[str, Any] = {"packages": "index", "include_untracked": False, "max_mb": 50.0}
    return bundle.build(checkout, overrides, {}, **(settings | changes))


def members(made: bundle.Bundle) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(made.data), mode="r:gz") as archive:
        return {member.name: member for member in archive}


def content(made: bundle.Bundle, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(made.data), mode="r:gz") as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


def paste(line: str, folder: Path) -> None:
    """Do in ``folder`` what a message says, up to where its words for people begin."""
    command = line.partition("   (")[0].partition("; what was")[0]
    subprocess.run(["bash", "-c", command], cwd=folder, check=True, capture_output=True)
