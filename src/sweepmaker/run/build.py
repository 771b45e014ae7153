"""From config nodes to objects: every ``instantiate`` of the training side goes through here."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from sweepmaker.config.errors import ConfigError, UserError

Part = TypeVar("Part")
_LOGGERS = ("tensorboard", "mlflow", "wandb")  # extras by these names bring what they need


def target_of(node: DictConfig, key: str) -> Any:
    """The class or function that a node's ``_target_`` names.

    Raises:
        ConfigError: there is no ``_target_``, or it cannot be imported.
    """
    target = node.get("_target_")
    if not target:
        raise ConfigError("has no _target_", key=key, fix=f"{key}._target_=package.module.Class")
    try:
        return hydra.utils.get_object(str(target))
    except Exception as error:  # importing a user's module may raise anything
        raise ConfigError(
            f"{target} cannot be imported: {error}",
            key=f"{key}._target_",
            fix="an importable name, package.module.Class; run from the folder that holds the package",
        ) from error


def instantiate(node: DictConfig, key: str, kind: type[Part], **extra: Any) -> Part:
    """Build the object of a config node.

    Args:
        node: with ``_target_``.
        key: where the node stands in the config, for messages.
        kind: what the object has to be.
        extra: further arguments; those that the target does not take are left out.

    Raises:
        ConfigError: arguments that the target does not take, or ``_target_`` is wrong or of another kind.
        UserError: whatever of that kind the target raised itself.
    """
    target = target_of(node, key)
    parameters = inspect.signature(target).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given = {name for name in node if not str(name).startswith("_")}
    unknown = sorted(str(name) for name in given - set(parameters)) if not takes_any else []
    if unknown:
        raise ConfigError(
            f"{node._target_} does not take it",
            key=f"{key}.{unknown[0]}",
            allowed=", ".join(name for name in parameters if name not in ("self", "args", "kwargs")),
            fix=f"leave it out; for code of your own begin with {key}=own {key}._target_={node._target_}",
        )
    extra = {name: value for name, value in extra.items() if takes_any or name in parameters}
    try:
        part = hydra.utils.instantiate(node, **extra)
    except InstantiationException as error:
        cause = error.__cause__
        while cause is not None and not isinstance(cause, UserError) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, ModuleNotFoundError) and (name := key.removeprefix("logger.")) in _LOGGERS:
            raise ConfigError(
                f"{node._target_} needs a package that is not installed: {cause}",
                key=key,
                fix=f"pip install 'sweepmaker[{name}]'",
            ) from None
        if key == "trainer":  # what is given there are plain values of the user's
            raise ConfigError(str(cause or error), key=key) from error
        raise
    if not isinstance(part, kind):
        raise ConfigError(f"{node._target_} is not a {kind.__name__}", key=f"{key}._target_")
    return part


def instantiate_all(nodes: DictConfig | None, key: str, kind: type[Part]) -> list[Part]:
    """The objects of a group of named nodes; a name set to null is left out.

    Raises:
        ConfigError: as `instantiate`.
    """
    return [
        instantiate(node, f"{key}.{name!s}", kind)
        for name, node in (nodes or {}).items()
        if OmegaConf.is_dict(node)
    ]
