"""What conf/compare.yaml may hold, checked before a folder is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sweepmaker.compare import times
from sweepmaker.config.errors import ConfigError
from sweepmaker.config.rules import BOOLEAN, NOTHING, TEXT, Rule, either, node, number, one_of
from sweepmaker.run import atomic
from sweepmaker.run.record import STATES

FORMATS = ("table", "csv", "json", "markdown")
ALL_STATES = (*STATES, "unknown", "broken")


def _is_time(value: Any) -> bool:
    try:
        times.moment(value), times.end(value)
    except (TypeError, ValueError):
        return False
    return True


def _list_of(rule: Rule, words: str) -> Rule:
    """One value, or a list of at least one."""

    def passes(value: Any) -> bool:
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        return len(several) > 0 and all(rule.passes(each) for each in several)

    return Rule(passes, words)


_TEXTS = _list_of(TEXT, "a text, or a list of texts")
_TIME = Rule(_is_time, "a day or a time: 2026-11-23 or 2026-11-23T10:00")
_COMMIT = Rule(
    lambda value: 4 <= len(str(value)) <= 40 and set(str(value).lower()) <= set("0123456789abcdef"),
    "4 to 40 hexadecimal digits, quoted where they are all decimal: 'only.commit=\"0123\"'",
)

RULES: dict[str, Rule] = {
    "action": TEXT,  # one of those in sweepmaker.compare.task
    "runs": either(_TEXTS, NOTHING),
    "only.experiment": either(_TEXTS, NOTHING),
    "only.overrides": either(node(), NOTHING),
    "only.state": either(
        _list_of(one_of(*ALL_STATES), f"of {', '.join(ALL_STATES)}, one or a list"), NOTHING
    ),
    "only.since": either(_TIME, NOTHING),
    "only.until": either(_TIME, NOTHING),
    "only.commit": either(_COMMIT, NOTHING),
    "metric": either(TEXT, NOTHING),
    "mode": either(one_of("max", "min"), NOTHING),
    "repeats": either(Rule(lambda value: value in (None, []), "[]"), _list_of(TEXT, "a list of keys")),
    "format": one_of(*FORMATS),
    "best": BOOLEAN,
    "html": either(TEXT, NOTHING),
    "watch": BOOLEAN,
    "watch_s": number(above=0),
}


@dataclass(frozen=True)
class Options:
    """The config of one comparison, as conf/compare.yaml describes it."""

    runs: tuple[str, ...] | None
    experiment: tuple[str, ...]
    overrides: Mapping[str, Any]
    state: tuple[str, ...]
    since: str | None
    until: str | None
    commit: str | None
    metric: str | None
    mode: str | None
    repeats: tuple[str, ...]
    format: str
    best: bool
    html: Path | None
    watch: bool
    watch_s: float


def options(cfg: DictConfig) -> Options:
    """The checked options.

    Raises:
        ConfigError: an unknown key, or a value that is not allowed.
    """
    given: dict[str, Any] = dict(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    given.pop("debugger", None)  # of action=rules, checked where rules are made
    only = given.pop("only")
    if not isinstance(only, dict):
        raise ConfigError(f"{only!r} is not allowed", key="only", allowed="the keys below it, only.state=...")
    given |= {f"only.{key}": value for key, value in only.items()}
    for key, value in given.items():
        if key not in RULES:
            near = get_close_matches(str(key), RULES, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            if str(key).startswith("only.overrides."):
                name = str(key).removeprefix("only.overrides.")
                hint = f"; overrides go into braces: 'only.overrides={{{name}: {value}}}'"
            raise ConfigError(f"there is no such key{hint}", key=str(key), allowed=", ".join(RULES))
        if not RULES[key].passes(value):
            raise ConfigError(f"{value!r} is not allowed", key=key, allowed=RULES[key].allowed)
    if missing := [key for key in RULES if key not in given]:
        raise ConfigError("is needed; null or its default is what it means to leave it out", key=missing[0])
    if given["html"]:
        given["html"] = _home(given["html"])
    _go_together(given)
    return Options(
        runs=None if given["runs"] is None else _texts(given["runs"]),
        experiment=_texts(only["experiment"]),
        overrides={str(key): value for key, value in (only["overrides"] or {}).items()},
        state=_texts(only["state"]),
        since=only["since"],
        until=only["until"],
        commit=None if only["commit"] is None else str(only["commit"]).lower(),
        metric=given["metric"],
        mode=given["mode"],
        repeats=_texts(given["repeats"]),
        format=given["format"],
        best=given["best"],
        html=None if given["html"] is None else Path(given["html"]),
        watch=given["watch"],
        watch_s=float(given["watch_s"]),
    )


def _go_together(given: Mapping[str, Any]) -> None:
    if given["mode"] and not given["metric"]:
        raise ConfigError("goes with metric=NAME", key="mode", fix="metric=valid/loss mode=min")
    if given["best"] and given["format"] not in ("table", "json"):
        raise ConfigError("best=true prints two lines, or JSON", key="format", allowed="table, json")
    try:
        is_folder = bool(given["html"]) and Path(given["html"]).is_dir()
        if given["html"]:
            atomic.check_replaceable(Path(given["html"]))
    except (OSError, ValueError) as error:
        why = f": {error.strerror}" if isinstance(error, OSError) else ""
        raise ConfigError(f"{given['html'][:80]!r} is no name of a file{why}", key="html") from error
    if is_folder:
        raise ConfigError(
            f"{given['html']} is a folder", key="html", fix=f"html={given['html']}/compare.html"
        )
    if given["html"] and not Path(given["html"]).absolute().parent.is_dir():
        folder = Path(given["html"]).absolute().parent
        raise ConfigError(f"there is no folder {folder}", key="html", fix=f"mkdir -p {folder}")


def _home(text: str) -> str:
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        raise ConfigError(f"{text}: {error}", key="html") from error


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
