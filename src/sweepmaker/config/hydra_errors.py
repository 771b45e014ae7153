"""Hydra's and OmegaConf's errors as one message: what is wrong, what is allowed, what to type instead."""

from __future__ import annotations

import re
import shlex
import traceback
from difflib import get_close_matches
from pathlib import Path

import yaml
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import OmegaConfBaseException

from sweepmaker.config import argv
from sweepmaker.config.errors import ConfigError
from sweepmaker.config.trainer_keys import TRAINER_KEYS

_CONF = Path(__file__).resolve().parents[3] / "conf"
# verbs with a config of their own, and the key that a bare folder is meant for
_OWN = {"compare": "runs", "deploy": "run"}


def explain(error: Exception, arguments: list[str]) -> ConfigError | None:
    """The `ConfigError` to show for ``error``, or None where it is not about the configuration."""
    if isinstance(error, yaml.MarkedYAMLError):
        return _no_yaml(error)
    if isinstance(error, OSError) and not isinstance(error, MissingConfigException):
        return _run_folder(error)
    if isinstance(error, ValueError) and not isinstance(error, OmegaConfBaseException):
        return _bare(error, arguments)
    if not isinstance(error, HydraException | OmegaConfBaseException | MissingConfigException):
        return None
    if isinstance(error, InstantiationException):
        return None  # raised while a part was built, not while the config was read
    text = str(error) + (f"\n{error.__cause__}" if error.__cause__ else "")
    if isinstance(error, OverrideParseException):
        text = f"parsing override '{error.override}'\n{error.message}"
    for explanation in (
        _sweep,
        _experiment,
        _missing_option,
        _unknown_key,
        _ambiguous,
        _function,
        _grammar,
        _wrong_type,
    ):
        found = explanation(text, arguments)
        if found is not None:
            return found
    return ConfigError(text.strip())


def _no_yaml(error: yaml.MarkedYAMLError) -> ConfigError | None:
    """A slip in a file of the config, a preset of one's own say."""
    mark = error.problem_mark
    if mark is None:
        return None
    return ConfigError(
        f"{mark.name}, line {mark.line + 1}: {error.problem or error.context}",
        fix="correct the file: it is no YAML",
    )


def _run_folder(error: OSError) -> ConfigError | None:
    """Hydra makes the run's folder and its log before anything of ours is called."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [index for index, frame in enumerate(frames) if frame.name in ("run_job", "sweep", "configure_log")]
    called = frames[own[-1] + 1 :] if own else []
    if not called or any(_CONF.parent in Path(frame.filename).parents for frame in called if _is_ours(frame)):
        return None
    return ConfigError(
        f"{error.filename} cannot be made or written: {error.strerror}",
        key="hydra.run.dir",
        allowed="a folder of your own, or one that does not exist yet",
        fix="leave it out for outputs/<date>/<time>",
    )


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return "site-packages" not in Path(frame.filename).parts


def _bare(error: ValueError, arguments: list[str]) -> ConfigError | None:
    """What Hydra and OmegaConf themselves trip over while they apply the command line."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not {"omegaconf", "hydra"} & set(Path(frames[-1].filename).parts):
        return None
    index = re.search(r"invalid literal for int\(\) with base 10: '(.*)'", str(error))
    for argument in arguments[1:]:
        key, _, value = argument.lstrip("+~").partition("=")
        parent, _, leaf = key.rpartition(".")
        if index and parent and leaf == index.group(1):
            return ConfigError(
                f"is a list, so there is no {leaf!r} in it", key=parent, fix=f"'{parent}=[...]'"
            )
        if "Config group override" in str(error) and (_CONF / key).is_dir() and _is_no_name(value):
            return ConfigError(f"{value} is not a name", key=key, allowed=_options(key))
    return None


def _is_no_name(value: str) -> bool:
    return not isinstance(yaml.safe_load(value), str | list)


def _sweep(text: str, arguments: list[str]) -> ConfigError | None:
    unsupported = re.search(r"does not support sweep type ?: ?(\w+)", text)
    needs_multirun = re.search(r"Sweep parameters '(.+)' requires --multirun", text, re.DOTALL)
    script = Path(arguments[0]).name
    rest = [argument for argument in arguments[1:] if argument not in ("-m", "--multirun")]
    if unsupported or (needs_multirun and "interval(" in needs_multirun.group(1)):
        swept = next((argument for argument in rest if "interval(" in argument), "an interval")
        line = shlex.join(["python", "launch.py", "-m", *rest, "where=embedded"])
        return ConfigError(
            f"{swept}: {script} -m runs every value, and an interval has no list of them",
            allowed="values (lr=1e-3,3e-3), choice(...), range(start,stop,step)",
            fix=f"search the interval on this machine with: {line}",
        )
    if needs_multirun:
        line = shlex.join(["python", script, "-m", *rest])
        return ConfigError(f"{needs_multirun.group(1)}: several values are several runs", fix=f"{line}")
    return None


def _experiment(text: str, arguments: list[str]) -> ConfigError | None:
    given = [argument for argument in arguments[1:] if re.match(r"experiment=", argument)]
    if not given or "experiment" not in text:
        return None
    if _main(arguments).stem == "compare":
        return ConfigError("picks runs with only.", key="experiment", fix=f"only.{given[0]}")
    if _main(arguments).stem == "deploy":
        return None  # a key that is not there
    corrected = ["+" + argument if argument in given else argument for argument in arguments[1:]]
    line = shlex.join(["python", Path(arguments[0]).name, *corrected])
    return ConfigError(
        "is added to the config, so it takes a plus",
        key="experiment",
        allowed=_options("experiment"),
        fix=line,
    )


def _missing_option(text: str, arguments: list[str]) -> ConfigError | None:
    found = re.search(r"Could not find '([^']+)'", text)
    if found is None:
        return None
    group, _, option = found.group(1).rpartition("/")
    # Hydra's own list: it knows of what plugins bring
    listed = re.search(r"Available options in '[^']*':\n((?:\t[^\n]+\n?)+)", text)
    allowed = listed.group(1).split() if listed else _names(group)
    return ConfigError(
        f"there is no {option!r}" + _hint(option, allowed),
        key=group or "config",
        allowed=", ".join(allowed),
    )


def _unknown_key(text: str, arguments: list[str]) -> ConfigError | None:
    patterns = (
        r"Could not override '([^']+)'",
        r"Could not append to config. An item is already at '([^']+)'",
        r"^(\S+) appears more than once in the final defaults list",
    )
    found = next((match for pattern in patterns if (match := re.search(pattern, text))), None)
    if found is None:
        return None
    key = found.group(1)
    if "already at" in text or "more than once" in text:
        return ConfigError("is there already, so it takes no plus", key=key, fix=f"{key}=...")
    if "could not be converted" in text:
        return _wrong_type(text, arguments)
    parent, _, leaf = key.rpartition(".")
    main = _main(arguments)
    allowed = _keys_below(parent, main)
    if leaf in allowed:  # of another option of this group
        chosen = next((word for word in arguments[1:] if word.startswith(f"{parent}=")), f"what {parent} is")
        return ConfigError(
            f"{chosen} has no such key", key=key, fix=f"+{key}=... hands it on, if your class takes it"
        )
    return ConfigError(
        "there is no such key" + _hint(leaf, allowed, prefix=f"{parent}." if parent else ""),
        key=key,
        allowed=", ".join(allowed),
        fix=_where_else(parent, leaf) if main.stem == "train" else None,
    )


def _where_else(parent: str, leaf: str) -> str:
    """What to type for a key that was meant as it stands."""
    if parent == "trainer" and leaf in TRAINER_KEYS:
        return f"one of Lightning's that the config does not name takes a plus: +trainer.{leaf}=..."
    if parent in ("custom", "callbacks", "logger", "optimizer", "scheduler"):
        return f"correct it, or add it: +{parent}.{leaf}=..."
    return f"correct it, or put a key of your own under custom: +custom.{leaf}=..."


def _ambiguous(text: str, arguments: list[str]) -> ConfigError | None:
    found = re.search(r"Ambiguous value for argument '(.+?)'\n", text, re.DOTALL)
    if found is None:
        return None
    key, _, value = found.group(1).partition("=")
    several = "several runs: " + shlex.join(["python", Path(arguments[0]).name, "-m", *arguments[1:]])
    if _main(arguments).stem in _OWN:  # they take no -m
        several = "several: " + shlex.quote(f"{key}=[{value}]")
    return ConfigError(
        f"{value!r} has a comma in it: one value or several?",
        key=key,
        fix=f"one value: {argv.word(key, value)}    {several}",
    )


def _function(text: str, arguments: list[str]) -> ConfigError | None:
    found = re.search(r"\w+ while evaluating '(.*?)': ", text, re.DOTALL)
    if found is None:
        return None
    given = next((word for word in arguments[1:] if found.group(1) in word), found.group(1))
    key, _, value = given.partition("=")
    return ConfigError(
        f"{value or key}: one of these functions does not take what is in it",
        key=key,
        allowed="choice(a,b), range(a,b), sort(a,b), shuffle(a,b); with launch.py -m also interval(a,b), "
        "tag(log,interval(a,b)), int(interval(a,b))",
    )


def _grammar(text: str, arguments: list[str]) -> ConfigError | None:
    found = re.match(r"parsing override '(.*?)'\n", text, re.DOTALL)
    if found is None:
        return None
    override = found.group(1)
    key, equals, value = override.partition("=")
    if not equals:
        script = Path(arguments[0]).name
        folder = _OWN.get(_main(arguments).stem) if Path(override).exists() else None
        word = argv.word(folder, override) if folder else "key=value"
        return ConfigError(f"{override!r} is not key=value", fix=f"python {script} {word} ...")
    return ConfigError(
        f"{value!r} has a character that means something to Hydra", key=key, fix=argv.word(key, value)
    )


def _wrong_type(text: str, arguments: list[str]) -> ConfigError | None:
    found = re.search(r"full_key: (\S+)", text)
    first = text.strip().splitlines()[0]
    return ConfigError(first, key=found.group(1)) if found else None


def _hint(name: str, allowed: list[str], prefix: str = "") -> str:
    close = get_close_matches(name, allowed, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(prefix + entry for entry in close)}?" if close else ""


def _names(group: str) -> list[str]:
    return sorted(path.stem for path in (_CONF / group).glob("*.yaml"))


def _options(group: str) -> str:
    return ", ".join(_names(group))


def _main(arguments: list[str]) -> Path:
    """The config of a verb that has one of its own; train's, which the others are made of."""
    own = _CONF / f"{Path(arguments[0]).stem}.yaml"
    return own if own.stem in _OWN else _CONF / "train.yaml"


def _keys_below(parent: str, main_file: Path) -> list[str]:
    """Keys that may stand below ``parent`` in the shipped configs, read without composing."""
    head, *path = parent.split(".") if parent else [""]
    own = yaml.safe_load(main_file.read_text())
    groups = [group for entry in own.get("defaults", []) if isinstance(entry, dict) for group in entry]
    if main_file.stem != "train" and head not in groups:
        for name in filter(None, parent.split(".")):
            own = own.get(name) if isinstance(own, dict) else None
        if not isinstance(own, dict):
            return []
        return sorted({*own, *([] if parent else groups)} - {"hydra", "defaults"})
    # a group, which other verbs use too
    files = sorted((_CONF / head).glob("*.yaml")) if head else [_CONF / "train.yaml"]
    groups = [
        entry.name for entry in _CONF.iterdir() if entry.is_dir() and entry.name not in ("hydra", "local")
    ]
    keys: set[str] = set() if head else set(groups)
    main = yaml.safe_load((_CONF / "train.yaml").read_text())
    nodes = [yaml.safe_load(file.read_text()) or {} for file in files]
    if head and isinstance(main.get(head), dict):
        nodes.append(main[head])
    for node in nodes:
        for name in path:
            node = node.get(name) if isinstance(node, dict) else None
        if isinstance(node, dict):
            keys.update(str(key) for key in node)
    return sorted(keys - {"defaults", "hydra", "_target_", "_convert_", "_partial_"})
