"""Whether a run keeps its decoded images on disk, where, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweepmaker.config.errors import ConfigError
from sweepmaker.data import storage
from sweepmaker.data.cache.pixels import Pack, Pixels, Plan, obtain_pixels
from sweepmaker.data.cache.shared import NoPlace, NoRoom
from sweepmaker.data.source import Say, Source
from sweepmaker.run.environment import available_cores

KEY = "data.cache"
Choose = Callable[[str, Any, str], None]
"""Takes the name of an automatic choice, its value and the reason."""


def open_pixels(
    mode: str,
    folder: Path | None,
    source: Source,
    wanted: Plan,
    *,
    pack: Pack,
    gpu: bool,
    choose: Choose,
    say: Say,
) -> Pixels | None:
    """The cache of decoded images, or None where there is to be none; the choice is told with its reason.

    Args:
        mode: ``disk``, ``none`` or ``auto``.
        folder: where it is to lie; None: beside the data, or in the user's cache folder.
        source: checked.
        wanted: what is kept.
        pack: appends to the file what the source says of itself.
        gpu: the model runs on an accelerator.
        choose: takes the choice.
        say: takes one line for the user.

    Raises:
        ConfigError: with ``disk``, it does not fit or there is no place for it.
        DataError: an image changed while it was read.
    """
    if mode == "auto":
        mode, reason = _automatic(source, gpu)
    else:
        reason = "as configured"
    if mode == "none":
        choose(KEY, "none", reason)
        return None
    try:
        places = folders(folder, source)
        pixels = obtain_pixels(source, wanted, places, pack=pack, threads=available_cores(), say=say)
    except (NoRoom, NoPlace) as error:
        if reason != "as configured":
            choose(KEY, "none", str(error))
            return None
        raise ConfigError(
            str(error),
            key=KEY,
            allowed="disk where it can be kept",
            fix="data.cache=none, or data.cache_dir=FOLDER with room for it",
        ) from error
    choose(KEY, "disk", f"{reason}; {pixels.path}")
    return pixels


def _automatic(source: Source, gpu: bool) -> tuple[str, str]:
    if source.is_decoded:
        return "none", "these images lie in memory and need no decoding"
    if gpu:
        return "disk", "a GPU would wait for images to be decoded"
    return "none", "on a CPU a step costs far more than decoding its images"


def folders(folder: Path | None, source: Source) -> list[Path]:
    """Where caches of these data may lie; ``folder``: as configured."""
    if folder is not None:
        return [folder]
    root = source.store()
    beside = [] if root is None or storage.shared() is not None else [root / storage.FOLDER]
    return [*beside, storage.shared() or storage.user_cache()]
