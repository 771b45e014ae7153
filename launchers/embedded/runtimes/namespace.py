"""A private ``/opt/ml``: a mount namespace in which that path is the trial's own folder.

Needs Linux and either root or user namespaces open to everybody; many containers and some
distributions allow neither, and `available` finds out by trying. Nothing is changed outside: the
kernel drops the mounts with the last process of the trial.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from launchers.embedded.runtimes import linux

OPT_ML = Path("/opt/ml")

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_BIND, _MS_MOVE, _MS_REC, _MS_PRIVATE = 4096, 8192, 16384, 1 << 18
_CAPABILITIES = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
_PROBE_S = 20


@functools.cache
def available() -> str | None:
    """None where a process of this machine gets a private ``/opt/ml``, else the reason why not."""
    if not linux.HERE:
        return f"{sys.platform} has no mount namespaces"
    with tempfile.TemporaryDirectory(prefix="sweepmaker-") as name:
        ml = Path(name, "ml")
        (ml / "input" / "data").mkdir(parents=True)
        try:
            done = subprocess.run(
                [sys.executable, "-m", __name__, str(ml)],
                cwd=Path(__file__).parents[3], stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=_PROBE_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"the attempt took more than {_PROBE_S} s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def enter(ml: Path) -> None:
    """Make ``/opt/ml`` of this process (which must have one thread), and of all it starts, be ``ml``.

    Where the kernel can, what it writes below ``input/data`` lands in ``ml``/../layer instead: what
    lies there may be hard links to files of others, which root could write to.

    Raises:
        OSError: this machine does not allow it.
    """
    ml = ml.absolute()
    user, group = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNS | (0 if user == 0 else _CLONE_NEWUSER)
    try:
        _unshare(flags)
    except PermissionError:
        if flags & _CLONE_NEWUSER:
            raise
        flags |= _CLONE_NEWUSER  # root of a container that may not mount
        _unshare(flags)
    if flags & _CLONE_NEWUSER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    if not OPT_ML.is_dir():
        _make_opt(ml.parent)
    _mount(str(ml), str(OPT_ML), None, _MS_BIND | _MS_REC)
    _layer(ml)
    if flags & _CLONE_NEWUSER:
        _drop_capabilities()


def clean(ml: Path) -> None:
    """Remove what `enter` left beside ``ml``, once no process of the trial is left."""
    layer = ml.parent / "layer"
    for inner in (layer / "work").glob("*"):  # the kernel made it, without any permission
        with contextlib.suppress(OSError):
            inner.chmod(0o700)
    shutil.rmtree(layer, ignore_errors=True)
    with contextlib.suppress(OSError):
        (ml.parent / "opt").rmdir()


def _make_opt(beside: Path) -> None:
    """Another /opt, with all that is in the machine's one and an empty ``ml``."""
    opt = OPT_ML.parent
    if not opt.is_dir():
        raise FileNotFoundError(f"{opt} is missing")
    new = beside / "opt"
    new.mkdir(exist_ok=True)
    _mount("tmpfs", str(new), "tmpfs", 0)
    (new / OPT_ML.name).mkdir()
    for entry in opt.iterdir():
        target = new / entry.name
        if entry.is_symlink():
            target.symlink_to(entry.readlink())
            continue
        if entry.is_dir():
            target.mkdir()
        else:
            target.touch()
        _mount(str(entry), str(target), None, _MS_BIND | _MS_REC)
    _mount(str(new), str(opt), None, _MS_MOVE)


def _layer(ml: Path) -> None:
    data = OPT_ML / "input" / "data"
    layer = ml.parent / "layer"
    if any(letter in str(ml) for letter in ":,\\"):  # they separate the options of such a mount
        return
    for name in ("upper", "work"):
        (layer / name).mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={ml}/input/data,upperdir={layer}/upper,workdir={layer}/work"
    for more in ("", ",userxattr"):
        with contextlib.suppress(OSError):
            _mount("overlay", str(data), "overlay", 0, options + more)
            return


def _unshare(flags: int) -> None:
    linux.checked(linux.libc().unshare(flags), "unshare")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    result = linux.libc().mount(
        os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        os.fsencode(options) if options else None,
    )
    linux.checked(result, f"mount {kind or 'bind'} on {target}")


def _drop_capabilities() -> None:
    """It was all-powerful in its own namespace: a file that its user may not write, it may not either."""
    head = struct.pack("Ii", _CAPABILITIES, 0)
    linux.checked(linux.libc().capset(head, bytes(24)), "capset")


def _probe(ml: Path) -> None:
    (ml / "model").mkdir()
    enter(ml)
    (OPT_ML / "model" / "written").write_text("")


if __name__ == "__main__":
    try:
        _probe(Path(sys.argv[1]))
    except OSError as error:
        sys.exit(str(error))
