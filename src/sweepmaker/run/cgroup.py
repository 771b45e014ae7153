"""Limits that a container or a batch system sets to this process: control groups, version 2 and 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_NO_LIMIT = 2**60  # bytes; version 1 writes the largest number that it has instead of a word


class Limits:
    """The groups of this process that limit it, its own and those around it.

    In a container the files lie at the mount itself; a batch job (Slurm) has a group below it.

    Args:
        mount: where control groups are mounted; None: where Linux has them.
        own: the file that names this process's groups; None: likewise.

    Attributes:
        cores: cores' worth of time that this process gets, the least of its groups; None: no limit.
    """

    def __init__(self, mount: Path | None = None, own: Path | None = None) -> None:
        self._mount = mount = mount or _MOUNT
        names = _names(own or _OWN)
        self._memory = [pair for folder in _folders(mount, names, "memory") if (pair := _memory_of(folder))]
        self.cores: float | None = None
        self._cpu: Path | None = None
        for folder in _folders(mount, names, "cpu"):
            cores = _cores_of(folder)
            if cores is not None and (self.cores is None or cores < self.cores):
                self.cores, self._cpu = cores, folder

    def memory(self) -> float | None:
        """Percent in use of the limit that is nearest; None where there is no limit."""
        return max((100 * used / limit for limit, used in self._limits()), default=None)

    def free_memory(self) -> int | None:
        """Bytes that are left of the limit that is nearest; None where there is no limit."""
        return min((max(0, limit - used) for limit, used in self._limits()), default=None)

    def most_memory(self) -> int | None:
        """Bytes of the least limit; None where there is no limit."""
        return min((limit for limit, _ in self._limits()), default=None)

    def _limits(self) -> Iterator[tuple[int, int]]:
        """(bytes allowed, bytes in use) of every group that has a limit."""
        for folder, version in self._memory:
            try:
                limit, used = _limit_and_use(folder, version)
            except (OSError, ValueError):
                continue
            if 0 < limit < _NO_LIMIT:
                yield limit, used

    def cpu_s(self) -> float | None:
        """Seconds of CPU that the group with the least `cores` has used; None where nobody counts them."""
        if self._cpu is None:
            return None
        try:
            if (self._cpu / "cpu.max").exists():
                return _field(self._cpu / "cpu.stat", "usage_usec") / 1e6
            return int(self._counted(self._cpu).read_text()) / 1e9
        except (OSError, ValueError):
            return None

    def _counted(self, group: Path) -> Path:
        """Version 1 may count time in another tree than the one that limits it."""
        here, tree = group / "cpuacct.usage", (self._mount / "cpu").resolve()
        if here.exists() or not group.is_relative_to(tree):
            return here
        return self._mount / "cpuacct" / group.relative_to(tree) / "cpuacct.usage"


def _names(own: Path) -> dict[str, str]:
    """Controller to the group's path; version 2 has one for all, under ``""``."""
    names: dict[str, str] = {}
    try:
        for line in own.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            names |= dict.fromkeys(controllers.split(","), path)
    except (OSError, ValueError):
        pass
    return names


def _folders(mount: Path, names: dict[str, str], controller: str) -> list[Path]:
    """Every group around this process that can be seen, of either version, its own first."""
    places = [(mount, names.get(""))]
    for name in dict.fromkeys((controller, "cpu,cpuacct" if controller == "cpu" else controller)):
        places.append((mount / name, names.get(controller)))
    found = []
    for root, path in places:
        group = (root / (path or "/").strip("/")).resolve()
        inside = root.resolve() in (group, *group.parents)  # a container may be told a path outside of it
        for folder in (group, *group.parents) if inside else (root.resolve(),):
            if folder.is_dir():
                found.append(folder)
            if folder == root.resolve():
                break
    return list(dict.fromkeys(found))


def _cores_of(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            limit, period = (folder / "cpu.max").read_text().split()
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(limit) / int(period) if limit not in ("max", "-1") else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _memory_of(folder: Path) -> tuple[Path, int] | None:
    if (folder / "memory.max").exists():
        return folder, 2
    return (folder, 1) if (folder / "memory.limit_in_bytes").exists() else None


def _limit_and_use(folder: Path, version: int) -> tuple[int, int]:
    """Bytes; what the kernel gives back when it is needed does not count as used.

    Raises:
        OSError, ValueError: no limit (``max``), or a file that cannot be read.
    """
    limit, use, given_back = (
        ("memory.max", "memory.current", "inactive_file") if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )  # fmt: skip
    most = int((folder / limit).read_text())
    return most, int((folder / use).read_text()) - _field(folder / "memory.stat", given_back)


def _field(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        if line.startswith(f"{name} "):
            return int(line.split()[1])
    raise ValueError(f"{file} has no {name}")
