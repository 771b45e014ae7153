"""From the names in the config to a source whose every item has been looked at."""

from __future__ import annotations

from pathlib import Path

from sweepmaker.config.errors import DataError
from sweepmaker.data.digits import digits
from sweepmaker.data.fashion_mnist import fashion_mnist
from sweepmaker.data.folder import FolderSource
from sweepmaker.data.source import Say, Source
from sweepmaker.run.environment import available_cores

_NAMED_FILES = 20  # bad files written out in a message


def open_source(
    name: str, root: Path | None, *, max_pixels: int, on_bad_image: str, say: Say
) -> tuple[Source, dict[int, str]]:
    """A checked source, and what is wrong with the items that must be left out.

    Raises:
        ConfigError: there is no such data under ``root``.
        DataError: an image is bad and ``on_bad_image`` is ``stop``; the message names the files.
    """
    source = _make(name, root, max_pixels, say)
    return source, judge(source.check(), on_bad_image=on_bad_image, say=say)


def judge(bad: dict[int, str], *, on_bad_image: str, say: Say) -> dict[int, str]:
    """``bad`` where it may be left out, which is said.

    Raises:
        DataError: there is something, and ``on_bad_image`` is ``stop``; the message names the files.
    """
    if bad:
        reasons = list(bad.values())
        lines = [f"  {reason}" for reason in reasons[:_NAMED_FILES]]
        if len(reasons) > _NAMED_FILES:
            lines.append(f"  and {len(reasons) - _NAMED_FILES} more")
        listed = "\n".join(lines)
        if on_bad_image == "stop":
            raise DataError(
                f"{len(bad)} bad image(s):\n{listed}",
                fix="mend or remove the file(s), or data.on_bad_image=skip to leave them out",
            )
        say(f"data: {len(bad)} bad image(s) left out:\n{listed}")
    return bad


def _make(name: str, root: Path | None, max_pixels: int, say: Say) -> Source:
    if name == "digits":
        return digits()
    if name == "fashion_mnist":
        return fashion_mnist(root)
    assert root is not None  # options.root() saw to it
    return FolderSource(root, max_pixels=max_pixels, threads=available_cores(), say=say)
