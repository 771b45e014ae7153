"""``.hydra/config.yaml`` and its neighbours, read fast: a thousand configs are mostly the same text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from sweepmaker.run import untrusted

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONFIG = ".hydra/config.yaml"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_MOST_STEPS = 10  # from one key to the next; a circle ends there
_BLOCK = re.compile(r"^(?=[^\s#-])", re.MULTILINE)


class _Text(_Loader):  # type: ignore[misc, valid-type]
    """Scalars as the text that stands there: 1e-3 and 0.001 are told apart, and nothing is a date."""


_Text.yaml_implicit_resolvers = {
    key: [each for each in resolvers if each[0] == "tag:yaml.org,2002:null"]
    for key, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def load(folder: Path, name: str, top: str | None = None) -> dict[str, Any]:
    """A YAML mapping, values as text; {} where there is none.

    Args:
        folder: with the file.
        name: of the file, relative to it.
        top: only what stands under this top-level key is read.

    Raises:
        ValueError: it is no YAML mapping, or one part of it stands in several places (an alias).
        OSError: it is there and cannot be read.
    """
    try:
        text = untrusted.read_inside(folder, name).decode()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[str, Any] = {}
    for block in _BLOCK.split(text):
        if not block.strip() or (top is not None and not block.startswith(f"{top}:")):
            continue
        one = _parsed(block)
        if one is None:  # not made of blocks, as OmegaConf writes them
            whole = _parsed(text)
            if whole is None:
                raise ValueError(f"{name} is no YAML mapping")
            return whole
        found |= one
    return found


@lru_cache(maxsize=4096)
def _parsed(text: str) -> dict[str, Any] | None:
    found = _loaded(text, _Text)
    if found is None:
        return {}
    if not isinstance(found, dict):
        return None
    _tree(found)
    return found


def _loaded(text: str, loader: Any) -> Any:
    """What a YAML text holds; text itself, which is no mapping and no list, where it is no YAML."""
    try:
        return yaml.load(text, Loader=loader)
    except Exception:  # beside its own errors PyYAML lets out whatever a tag leads to: !!int "" an IndexError
        return text


def _tree(root: Any) -> None:
    """Refuse a part that is in several places, or in itself: written out it may have no end."""
    seen: set[int] = set()
    open_ends = [root]
    while open_ends:
        node = open_ends.pop()
        if not isinstance(node, dict | list):
            continue
        if id(node) in seen:
            raise ValueError("a part of it stands in several places (a YAML alias)")
        seen.add(id(node))
        open_ends += node.values() if isinstance(node, dict) else node


def overrides(folder: Path) -> list[str]:
    """The lines of ``.hydra/overrides.yaml``; [] where there is none.

    Raises:
        ValueError: it is no list.
        OSError: it cannot be read.
    """
    try:
        text = untrusted.read_inside(folder, ".hydra/overrides.yaml").decode()
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = _loaded(text, _Text)
    if not isinstance(found, list | None):
        raise ValueError("overrides.yaml is no list")
    _tree(found)
    return [str(line) for line in found or []]


def config(folder: Path) -> dict[str, str]:
    """The composed config, flat: ``optimizer.lr`` -> its text.

    Raises:
        ValueError, OSError: as `load`.
    """
    found = flat(load(folder, CONFIG))
    return {key: _resolved(text, lambda other: found.get(other)) for key, text in found.items()}


def value(folder: Path, key: str) -> str | None:
    """The text that ``key`` has in the config of ``folder``; None where it is not there.

    Raises:
        ValueError, OSError: as `load`.
    """

    def plain(key: str) -> str | None:
        return flat(load(folder, CONFIG, key.partition(".")[0])).get(key)

    text = plain(key)
    return _choice(folder, key) if text is None else _resolved(text, plain)


def _choice(folder: Path, key: str) -> str | None:
    """What was chosen of a config group (``optimizer``: adamw), by the defaults list where by no override."""
    node: Any = load(folder, ".hydra/hydra.yaml", "hydra")
    for part in ("hydra", "runtime", "choices", key):
        node = node.get(part) if isinstance(node, dict) else None
    return node if isinstance(node, str) else None


def resolved(folder: Path, text: str) -> str:
    """``text``, or where it is another key as ``${a.b}``, what that has in the config of ``folder``.

    Raises:
        ValueError, OSError: as `load`.
    """
    return _resolved(text, lambda key: value(folder, key))


def _resolved(text: str, look: Callable[[str], str | None]) -> str:
    for _ in range(_MOST_STEPS):
        found = _REFERENCE.fullmatch(text)
        other = look(found[1]) if found else None
        if other is None:
            break
        text = other
    return text


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
