"""What a trial leaves behind: from the run folder to where SageMaker fetches it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sweepmaker.container.folders import Folders
from sweepmaker.run import atomic

# They are in S3 already, file by file, as the job's checkpoints
_NOT_COPIED = ("checkpoints", "model")


def keep(run: Path, folders: Folders) -> None:
    """Copy ``run``'s model to the model folder and the rest, but for checkpoints, to the output.

    Copied, not moved: the run folder stays what a job that is started again finds. Each file is
    whole or absent; what a run that was cut short has not written is left out.

    Raises:
        OSError: the disk is full, or a folder is read-only.
    """
    for source in _files(run):
        part = source.relative_to(run)
        if part.parts[0] == "model":
            _copy(source, folders.model / part.relative_to("model"))
        elif part.parts[0] not in _NOT_COPIED:
            _copy(source, folders.output_data / part)


def _files(folder: Path) -> Iterator[Path]:
    """Every regular file below ``folder`` but temporary ones; a link could lead anywhere."""
    for parent, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith(".model."))
        for name in sorted(files):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink() and not (name[0] == "." and name.endswith(".tmp")):
                yield path


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(target) as temporary:
        shutil.copyfile(source, temporary)
