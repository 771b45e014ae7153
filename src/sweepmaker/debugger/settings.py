"""The ``debugger`` node of the config: checked before anything starts, and made into rules."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from sweepmaker.config.errors import ConfigError
from sweepmaker.config.rules import AUTO, BOOLEAN, NOTHING, TEXT, either, integer, lacking, node, one_of
from sweepmaker.debugger.rules import BUILT_IN, Rule
from sweepmaker.debugger.rules.activations import SaturatedActivation

ACTIONS = ("report", "stop")
KEYS = {
    "preset": TEXT,
    "every_n_steps": either(integer(1), AUTO),
    "first_steps": integer(0),
    "action": one_of(*ACTIONS),
    "rules": either(node(), NOTHING),
    "smdebug": BOOLEAN,
}
EVERY_N_STEPS = 25
EVERY_N_STEPS_ON_FEATURES = 500
CANNOT_STOP = ("StalledTraining",)  # what hangs does not come to its end


@dataclass
class Watched:
    """One rule that is on.

    Attributes:
        name: in the config and in findings.
        rule: built with its parameters.
        stops: it ends the run when it fires.
    """

    name: str
    rule: Rule
    stops: bool


@dataclass
class Settings:
    """The checked node.

    Attributes:
        preset: its name, for findings.json.
        every_n_steps: optimizer steps between two samples; None: follows from what trains.
        first_steps: so many steps at the beginning are sampled all.
        smdebug: the smdebug hook writes tensors too.
        rules: those that are on.
    """

    preset: str = "none"
    every_n_steps: int | None = None
    first_steps: int = 10
    smdebug: bool = False
    rules: list[Watched] = field(default_factory=list)

    def parameter(self, rule: str, name: str, without: Any) -> Any:
        """A parameter of a rule; ``without`` where it is off."""
        found = [one.rule.parameters.get(name, without) for one in self.rules if one.name == rule]
        return found[0] if found else without

    def bounds(self) -> dict[str, float]:
        """What activations are held against while they are there."""
        usual = SaturatedActivation()
        names = SaturatedActivation.RECORDED
        return {
            name: float(self.parameter("SaturatedActivation", name, getattr(usual, name))) for name in names
        }

    def recorded(self) -> dict[str, float]:
        """``rule.parameter`` of everything that the observations follow from."""
        own = {
            f"{one.name}.{name}": value for one in self.rules for name, value in one.rule.recorded().items()
        }
        # these are taken whether or not the rule is on
        return {f"SaturatedActivation.{name}": value for name, value in self.bounds().items()} | own


def check(given: Mapping[str, Any]) -> Settings:
    """The settings of a node as plain values.

    Raises:
        ConfigError: an unknown key, rule or parameter, a value out of range, or no word about rules.
    """
    if "rules" not in given:  # an empty file would be a debugger that is off without a word
        raise lacking("debugger.rules", "rules with their parameters; {} for none")
    for key in given:
        if key not in KEYS:
            raise ConfigError(
                "there is no such key" + _close(key, KEYS), key=f"debugger.{key}", allowed=", ".join(KEYS)
            )
        if not KEYS[key].passes(given[key]):
            raise ConfigError(
                f"{given[key]!r} is not allowed", key=f"debugger.{key}", allowed=KEYS[key].allowed
            )
    every = given.get("every_n_steps", "auto")
    action = given.get("action", "report")
    nodes = given["rules"] or {}
    return Settings(
        preset=str(given.get("preset", "own")),
        every_n_steps=None if every == "auto" else int(every),
        first_steps=given.get("first_steps", 10),
        smdebug=given.get("smdebug", False),
        rules=[_watched(str(name), value, action) for name, value in nodes.items() if value is not None],
    )


def build(name: str, given: Mapping[str, Any]) -> Rule:
    """A rule with its parameters.

    Raises:
        ConfigError: no such rule, an unknown parameter, or a value out of range.
    """
    key = f"debugger.rules.{name}"
    kind = _kind(name, given, key)
    known = {one.name: one for one in fields(kind) if one.init}
    arguments = {key: value for key, value in given.items() if key not in ("_target_", "action")}
    for parameter, value in arguments.items():
        if parameter not in known:
            raise ConfigError(
                "there is no such parameter" + _close(parameter, known),
                key=f"{key}.{parameter}", allowed=", ".join((*known, "action")),
            )  # fmt: skip
        limit = kind.LIMITS.get(parameter)
        if limit is not None and not limit.passes(value):
            raise ConfigError(f"{value!r} is not allowed", key=f"{key}.{parameter}", allowed=limit.allowed)
    try:
        return kind(**arguments)
    except Exception as error:  # a class of the user's own may raise anything
        raise ConfigError(f"{kind.__name__} could not be made: {error}", key=key) from error


def _watched(name: str, given: Any, action: str) -> Watched:
    key = f"debugger.rules.{name}"
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{given!r} is not allowed", key=key, allowed="parameters below it, or null to turn it off"
        )
    own = given.get("action", action if name not in CANNOT_STOP else "report")
    allowed = ACTIONS if name not in CANNOT_STOP else ("report",)
    if own not in allowed:
        raise ConfigError(f"{own!r} is not allowed", key=f"{key}.action", allowed=", ".join(allowed))
    return Watched(name, build(name, given), own == "stop")


def _kind(name: str, given: Mapping[str, Any], key: str) -> type[Rule]:
    target = given.get("_target_")
    if target is None:
        if name not in BUILT_IN:
            raise ConfigError(
                "there is no such rule" + _close(name, BUILT_IN), key=key, allowed=", ".join(BUILT_IN),
                fix=f"for a rule of your own: +{key}._target_=package.module.Class",
            )  # fmt: skip
        return BUILT_IN[name]
    module, _, attribute = str(target).rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # importing a user's module may raise anything
        raise ConfigError(
            f"{target} cannot be imported: {error}", key=f"{key}._target_",
            allowed="package.module.Class; modules beside train.py and on PYTHONPATH are found",
        ) from error  # fmt: skip
    if not (isinstance(kind, type) and issubclass(kind, Rule)):
        raise ConfigError(
            f"{target} is no subclass of sweepmaker.debugger.rules.Rule", key=f"{key}._target_",
            allowed="a dataclass that inherits from Rule",
        )  # fmt: skip
    return kind


def _close(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, known, n=2, cutoff=0.6)
    return "; did you mean " + " or ".join(close) + "?" if close else ""
