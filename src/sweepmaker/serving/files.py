"""From ``images=`` to image files: a folder with those below it, a glob, a file."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from sweepmaker.config.errors import ConfigError
from sweepmaker.data.decode import show
from sweepmaker.data.tree import EXTENSIONS, natural_key


def image_files(images: str) -> list[str]:
    """The files that ``images`` means, in the order in which people count.

    A folder gives what is an image by its extension, also in folders below (links to folders and what is
    hidden are left out); a glob gives what it matches, ``**`` included.

    Raises:
        ConfigError: there are none.
    """
    try:
        path = str(Path(images).expanduser())
        if Path(path).is_dir():
            found = _below(path)
        elif Path(path).exists():  # names may hold [ and *
            found = [path]
        else:
            matches = sorted(glob.glob(path, recursive=True), key=natural_key)  # noqa: PTH207
            found = [
                file for match in matches for file in (_below(match) if Path(match).is_dir() else [match])
            ]
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, not ours, ~nobody
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{images[:80]!r} cannot be looked for: {why}", key="images") from error
    if not found:
        what = "holds no image file" if Path(path).is_dir() else "matches nothing"
        raise ConfigError(
            f"{images} {what}",
            key="images",
            allowed="a folder, a glob or a file; in a folder, files that end in "
            + " ".join(sorted(EXTENSIONS)),
        )
    return list(dict.fromkeys(found))


def _below(folder: str) -> list[str]:
    def fail(error: OSError) -> None:
        raise ConfigError(
            f"cannot read the folder {show(error.filename)}: {error.strerror}",
            key="images",
            fix="make it readable, or name what is to be read with a glob",
        ) from error

    found = []
    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural_key)
        found += [
            str(Path(place, name))
            for name in sorted(names, key=natural_key)
            if Path(name).suffix.casefold() in EXTENSIONS and not name.startswith(".")
        ]
    return found
