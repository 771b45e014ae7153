"""The command line before Hydra reads it: ``resume=<run folder>`` brings that run's own overrides."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import yaml

from sweepmaker.config.errors import ConfigError

_RESUME = "resume="
_RUN_DIR = "hydra.run.dir="


def prepare(arguments: list[str]) -> list[str]:
    """The arguments that Hydra shall see.

    With ``resume=FOLDER`` these are the overrides with which that run was started, then what else
    stands on the command line, and FOLDER as the run's folder again.

    Raises:
        ConfigError: FOLDER is not the folder of a run.
    """
    given = [argument for argument in arguments[1:] if argument.startswith(_RESUME)]
    folder = _unquote(given[-1].removeprefix(_RESUME)) if given else ""
    if folder in ("", "null"):
        return _keeping_what_is_there(arguments)
    rest = [argument for argument in arguments[1:] if not argument.startswith(_RESUME)]
    if "-m" in rest or "--multirun" in rest:
        raise ConfigError(
            "continues one run; it does not go with -m",
            key="resume",
            fix=resume_line(folder),
        )
    path = Path(folder).absolute()
    saved = path / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        raise ConfigError(
            f"{folder} is not the folder of a run (it has no .hydra/overrides.yaml)",
            key="resume",
            allowed="a folder such as outputs/<date>/<time> or multirun/<date>/<time>/<number>",
        )
    overrides = [str(line) for line in yaml.safe_load(saved.read_text(encoding="utf-8")) or []]
    overrides = [line for line in overrides if not line.startswith(_RESUME)]
    if rest:
        print(
            f"resume: {path} with other settings than it began with: {' '.join(rest)}",
            file=sys.stderr,
        )
    return [
        arguments[0], *overrides, *rest, f"resume={quote(str(path))}", f"hydra.run.dir={quote(str(path))}",
        "hydra.output_subdir=null",
    ]  # fmt: skip


def _keeping_what_is_there(arguments: list[str]) -> list[str]:
    """Hydra writes ``.hydra/`` before anyone can refuse: a folder that has one keeps it."""
    given = [argument for argument in arguments[1:] if argument.startswith(_RUN_DIR)]
    if given and (Path(_unquote(given[-1].removeprefix(_RUN_DIR))) / ".hydra").is_dir():
        return [*arguments, "hydra.output_subdir=null"]
    return arguments


def quote(value: str, mark: str = "'") -> str:
    """``value`` as text in Hydra's grammar, quoted with ``mark`` where it would not be taken as it is."""
    # with a slash it is no number, no null and no true
    if re.fullmatch(r"[A-Za-z0-9_.+%@?|-]*/[A-Za-z0-9/_.+%@?|-]*", value):
        return value
    escaped = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)  # or OmegaConf would look for that key
    # backslashes count only before a quote, the closing one included
    escaped = re.sub(rf"(\\*){mark}", rf"\1\1\\{mark}", escaped)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return mark + escaped + "\\" * trailing + mark


def word(key: str, value: object) -> str:
    """``key=value`` as one word to paste into a shell, whose value Hydra takes as it is."""
    return shlex.quote(key + "=" + quote(str(value), mark='"'))  # the shell needs the other mark itself


def resume_line(folder: Path | str) -> str:
    """The command line that continues the run in ``folder``."""
    return f"python train.py {word('resume', folder)}"


def _unquote(value: str) -> str:
    if len(value) < 2 or value[0] != value[-1] or value[0] not in "'\"":
        return value
    text = re.sub(rf"(\\+)({value[0]}|$)", _half, value[1:-1])
    return re.sub(r"(\\+)(\$\{)", _half, text)


def _half(found: re.Match[str]) -> str:
    return "\\" * (len(found[1]) // 2) + found[2]
