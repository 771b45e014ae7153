"""``.hydra/config.yaml`` and its neighbours, read fast: a thousand configs are mostly the same text."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BLOCK = re.compile(r"^(?=[^\s#-])", re.MULTILINE)


class _Text(_Loader):  # type: ignore[misc, valid-type]
    """Scalars as the text that stands there: 1e-3 and 0.001 are told apart, and nothing is a date."""


_Text.yaml_implicit_resolvers = {
    key: [each for each in resolvers if each[0] == "tag:yaml.org,2002:null"]
    for key, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def load(path: Path, top: str | None = None) -> dict[str, Any]:
    """A YAML mapping, values as text; {} where there is none.

    Args:
        path: the file.
        top: only what stands under this top-level key is read.

    Raises:
        ValueError: it is no YAML mapping.
        OSError: it is there and cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found: dict[str, Any] = {}
    for block in _BLOCK.split(text):
        if not block.strip() or (top is not None and not block.startswith(f"{top}:")):
            continue
        one = _parsed(block)
        if one is None:  # not made of blocks, as OmegaConf writes them
            whole = _parsed(text)
            if whole is None:
                raise ValueError(f"{path.name} is no YAML mapping")
            return whole
        found |= one
    return found


@lru_cache(maxsize=4096)
def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found = yaml.load(text, Loader=_Text)
    except (yaml.YAMLError, RecursionError):
        return None
    return found if isinstance(found, dict) else ({} if found is None else None)


def overrides(folder: Path) -> list[str]:
    """The lines of ``.hydra/overrides.yaml``; [] where there is none.

    Raises:
        ValueError: it is no list.
        OSError: it cannot be read.
    """
    path = folder / ".hydra" / "overrides.yaml"
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        return []
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError("overrides.yaml is no YAML") from error
    if not isinstance(found, list | None):
        raise ValueError("overrides.yaml is no list")
    return [str(line) for line in found or []]


def config(folder: Path) -> dict[str, str]:
    """The composed config, flat: ``optimizer.lr`` -> its text.

    Raises:
        ValueError, OSError: as `load`.
    """
    return flat(load(folder / ".hydra" / "config.yaml"))


def flat(node: Any, prefix: str = "") -> dict[str, str]:
    """Leaves of a nested mapping by their dotted path; lists are one leaf."""
    found: dict[str, str] = {}
    for key, value in node.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            found |= flat(value, f"{path}.")
        elif isinstance(value, list):
            found[path] = "[" + ", ".join(map(_shown, value)) + "]"
        else:
            found[path] = _shown(value)
    return found


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
