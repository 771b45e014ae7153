"""Which folder belongs to a job: the one that it was launched from, or one made for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from launchers.jobs import placing, submit
from launchers.jobs.standing import TRAINING, Job
from sweepmaker.config.errors import ConfigError

# conf/hydra and conf/job: <folder>/<date>/<time>, and a number where hydra/sweeper=basic sent several
_LAUNCHES = ("multirun/*/*", "multirun/*/*/*", "outputs/*/*")


def launched(name: str | None) -> tuple[Path, dict[str, Any]] | None:
    """The folder below this one from which a job was launched, and what it keeps.

    Args:
        name: of the job; None: the latest launch.
    """
    for path in _latest_first():
        try:
            kept = submit.kept(path.parent)
        except ConfigError:
            continue
        if name in (None, kept["name"]):
            return path.parent, kept
    return None


def folder_of(job: Job) -> Path:
    """Where a job is collected that was not launched from here: by the time at which it was made."""
    base = Path("outputs" if job.kind == TRAINING else "multirun")
    made = base / f"{job.created.astimezone():%Y-%m-%d}" / f"{job.created.astimezone():%H-%M-%S}"
    if not made.exists() or _holder(made) == job.name:
        return made
    return made.with_name(f"{made.name}-{job.name}")


def _latest_first() -> Iterator[Path]:
    found = [path for pattern in _LAUNCHES for path in Path().glob(f"{pattern}/{submit.FILE}")]
    yield from sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _holder(folder: Path) -> str | None:
    """The job that was collected into a folder before."""
    if (mark := placing.read(folder)) is not None:
        return mark.trial
    try:
        found = yaml.safe_load((folder / "multirun.yaml").read_text(encoding="utf-8"))
        return str(found["job"]["name"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None
