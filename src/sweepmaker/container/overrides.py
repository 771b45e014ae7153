"""Hydra overrides on their way to a trial and back (contract 1): text, replayed verbatim.

What is swept travels as hyperparameters, one a swept key; everything else travels in
``static_overrides.json`` beside the code. Both come back from files: SageMaker's argv and its
``SM_HP_*`` variables have been through JSON and lost what YAML would see in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sweepmaker.config.errors import ConfigError

STATIC_FILE = "static_overrides.json"

_SCHEMA = 1
# Added by the platform in tuning jobs, and read by AWS's toolkit: not for the trial.
_PLATFORM = ("_tuning_objective_metric",)
_TOOLKIT = "sagemaker_"

# A key of Hydra's override grammar, as `Override.get_key_element` spells it.
_ID = r"[A-Za-z_][A-Za-z0-9_-]*"
_WORD = r"[A-Za-z_$][A-Za-z0-9_$-]*"
_PART = rf"(?:{_WORD}|0|[1-9](?:_?[0-9])*)"
_PACKAGE = rf"(?:{_PART}(?:\.{_PART})+|{_WORD})"
_NAME = re.compile(rf"\+{{0,2}}(?P<key>(?:{_ID}(?:/{_ID})+|{_PACKAGE})(?:@{_PACKAGE})?)")
_NAME_ALLOWED = "a key as Hydra's command line takes it: lr, +x.y, ++x.y, model, group/sub, group@package"

_DOTTED = re.compile(rf"\+{{0,2}}(?P<key>{_PACKAGE})")
_CHANNEL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")

# Where a trial runs, and that it is one run, is decided in the container. No swept key may touch
# Hydra at all; a line of the launch may (`hydra.verbose=true`), but not these parts of it, and it is
# never an option (`-m`, `--config-dir`).
_HYDRA = re.compile(r"(?:.*@)?(?:_global_\.)?(?:hydra|resume)(?:[./@].*)?")
_FIXED = re.compile(
    r"-.*|[~+]{0,2}(?:resume(?:@[^=]*)?|[^=]*@(?:_global_\.)?hydra(?:\.[^=]*)?|hydra"
    r"|hydra[./](?:run|sweep|sweeper|launcher|mode|output_subdir|job\.(?:name|num|id|chdir))(?:[.@][^=]*)?"
    r")(?:=.*)?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Static:
    """What every trial of a job has in common.

    Args:
        overrides: lines of Hydra's command line, in their order.
        channels: input channel to the config key that names its folder (``data`` to
            ``data.root``, or ``+data.root`` for a key that the config lacks), or to ``key=file`` for a
            file in that folder.
        swept: each swept key, in the order of the command line, to the number of overrides before it:
            two groups that set the same key give another config in another order.
    """

    overrides: tuple[str, ...] = ()
    channels: Mapping[str, str] = field(default_factory=dict)
    swept: Mapping[str, int] = field(default_factory=dict)


def dump_static(
    overrides: Sequence[str],
    channels: Mapping[str, str] | None = None,
    swept: Mapping[str, int] | None = None,
) -> bytes:
    """``static_overrides.json``: the same arguments give the same bytes.

    Raises:
        ConfigError: a line is for the container alone to say (``resume``, ``hydra.run.dir``, ...),
            or a channel or its key cannot be one.
    """
    static = _checked(overrides, channels or {}, swept or {})
    content = {
        "schema": _SCHEMA,
        "overrides": list(static.overrides),
        "channels": dict(sorted(static.channels.items())),
        "swept": list(static.swept.items()),
    }
    return (json.dumps(content, indent=2) + "\n").encode("ascii")


def load_static(path: Path) -> Static:
    """Read what `dump_static` wrote.

    Raises:
        ConfigError: there is no such file, or it is not one of ours.
    """
    content = read_object(path)
    if content.get("schema") != _SCHEMA:
        raise ConfigError(
            f"{path}: schema {content.get('schema')!r} is not {_SCHEMA}: written by another version"
        )
    overrides, channels = content.get("overrides"), content.get("channels")
    swept = content.get("swept", [])
    if not isinstance(overrides, list) or not isinstance(channels, dict) or not isinstance(swept, list):
        raise ConfigError(f"{path}: needs lists of overrides and of swept keys, and a map of channels")
    try:
        return _checked(overrides, channels, _places(swept))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object in which no name stands twice.

    Raises:
        ConfigError: the file is missing or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}, not an object")
    return content


def replay(
    hyperparameters: Mapping[str, str], static: Sequence[str], swept: Mapping[str, int] | None = None
) -> list[str]:
    """The overrides of one trial: the static lines, and ``name=value`` for what was swept.

    Args:
        hyperparameters: as ``hyperparameters.json`` has them; what the platform and AWS's toolkit
            add is left out.
        static: `Static.overrides`.
        swept: `Static.swept`: where each name stands; the others come last, by name.

    Raises:
        ConfigError: a name is no key of Hydra's, is not the job's to set, or a value is no text.
    """
    places = swept or {}
    known = [name for name in places if name in hyperparameters]
    found = {place: [name for name in known if places[name] == place] for place in set(places.values())}
    lines: list[str] = []
    for index, line in enumerate(static):
        lines += [_line(name, hyperparameters[name]) for name in found.get(index, ())]
        lines.append(line)
    last = [name for name in known if places[name] >= len(static)]
    last += sorted(name for name in hyperparameters if name not in places and not _is_foreign(name))
    return lines + [_line(name, hyperparameters[name]) for name in last]


def _is_foreign(name: str) -> bool:
    return name in _PLATFORM or name.startswith(_TOOLKIT)


def _line(name: str, value: object) -> str:
    found = _NAME.fullmatch(name)
    if found is None:
        problem = f"{_shown(name)} is no key"
    elif _HYDRA.fullmatch(found["key"]):
        problem = f"{_shown(name)} is not for a job to set"
    elif not isinstance(value, str):
        problem = f"{name} is a {type(value).__name__}, and every value is sent as text"
    else:
        return _plain(f"{name}={value}")
    raise ConfigError(problem, key="hyperparameters", allowed=_NAME_ALLOWED)


def _places(pairs: Sequence[Any]) -> dict[str, int]:
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ConfigError(f"not a swept key and its place: {_shown(pair)}")
        if not isinstance(pair[1], int) or pair[1] < 0:
            raise ConfigError(f"not the place of a swept key: {_shown(pair)}")
    return {name: place for name, place in pairs}


def _checked(overrides: Sequence[Any], channels: Mapping[Any, Any], swept: Mapping[str, int]) -> Static:
    for line in overrides:
        if not isinstance(line, str):
            raise ConfigError(f"an override is text, and {_shown(line)} is a {type(line).__name__}")
        if _FIXED.fullmatch(_plain(line)):
            raise ConfigError(f"{_shown(line)}: decided in the trial's container", fix="leave it out")
    for channel, target in channels.items():
        if not isinstance(channel, str) or not _CHANNEL.fullmatch(channel):
            raise ConfigError(f"no name of a channel: {_shown(channel)}")
        key, _, file = target.partition("=") if isinstance(target, str) else ("", "", "")
        found = _DOTTED.fullmatch(key)
        if found is None or _HYDRA.fullmatch(found["key"]) or not _inside(_plain(file)):
            raise ConfigError(f"channel {channel}: {_shown(target)} is neither key nor key=file")
    return Static(tuple(overrides), dict(channels), dict(swept))


def _inside(file: str) -> bool:
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts


def _plain(text: str) -> str:
    """``text``, if a process can be started with it as an argument."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigError(f"{_shown(text)} holds a character that no command line can")
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
