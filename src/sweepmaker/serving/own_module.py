"""A LightningModule of the user's own, built from the code that its artifact holds."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra.utils
from torch import nn

from sweepmaker.config.errors import UserError

_OURS = __name__.partition(".")[0]


def build(code: Path, architecture: Mapping[str, Any], num_classes: int) -> nn.Module:
    """Build it as training did, from ``target`` and ``config``; this runs the code in ``code``.

    Args:
        code: the artifact's folder with the module's package or file.
        architecture: of ``model.json``.
        num_classes: given to a module that takes it.

    Raises:
        UserError: it cannot be imported or built.
    """
    code = code.absolute()  # as the files of imported modules are named
    target = architecture["target"]
    kind = _import(code, target)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        raise UserError(f"{target} is no torch module")
    config = dict(architecture.get("config") or {}) | {"_target_": target}
    parameters = inspect.signature(kind).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if num_classes and "num_classes" not in config and ("num_classes" in parameters or takes_any):
        config["num_classes"] = num_classes
    given = {name: _argument(value) for name, value in config.items() if not name.startswith("_")}
    network = kind(**given)
    assert isinstance(network, nn.Module)
    return network


def _argument(value: Any) -> Any:
    """As Hydra gave it to the constructor in training: nodes with a ``_target_`` are objects."""
    return hydra.utils.instantiate(value) if isinstance(value, dict | list) else value


def _import(code: Path, target: str) -> Any:
    name, _, attribute = target.rpartition(".")
    try:
        module = _module(code, name)
        found: Any = module
        for part in attribute.split("."):
            found = getattr(found, part)
        return found
    except Exception as error:  # a user's module may raise anything
        raise UserError(f"{target} cannot be imported from {code}: {error}") from error


def _module(code: Path, name: str) -> ModuleType:
    top, last = name.partition(".")[0], name.rpartition(".")[2]
    if top == _OURS:
        return _beside_ours(code, name)
    if (code / top).is_dir() or (code / f"{top}.py").is_file():
        # first, so that it is the code that was trained, whatever this checkout has now
        if str(code) not in sys.path:
            sys.path.insert(0, str(code))
        importlib.invalidate_caches()
        return importlib.import_module(name)
    lone = code / f"{last}.py"  # a file alone of a package that was too large to keep
    if not lone.is_file():
        return importlib.import_module(name)
    return _of_file(f"_lone_{name.replace('.', '_')}", lone)  # `last` may be the name of an installed module


def _beside_ours(code: Path, name: str) -> ModuleType:
    """A module that people have put into this package: its file as it was trained, the rest as it is now.

    What it imports from this package is ours; the artifact's where this version has no such module.
    """
    parts = name.split(".")
    importlib.invalidate_caches()
    for depth in range(1, len(parts)):  # parents, for what it imports relatively; people's may be only there
        parent = importlib.import_module(".".join(parts[:depth]))
        there = str(code.joinpath(*parts[:depth]))
        if there not in getattr(parent, "__path__", (there,)):
            parent.__path__.append(there)  # last, so that ours are found first
    place = code.joinpath(*parts)
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if not file.is_file():
            continue
        known = sys.modules.get(name)  # its package may have imported it
        if known is not None and getattr(known, "__file__", None) == str(file):
            return known
        return _of_file(name, file)
    return importlib.import_module(name)


def _of_file(name: str, file: Path) -> ModuleType:
    inside = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=inside)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:  # as an import does: nobody may find the half that is there
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return module
