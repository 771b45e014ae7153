"""A model artifact (contract 4) read and checked; whatever is wrong with it is one message."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sweepmaker.config.errors import UserError
from sweepmaker.models.networks import build_network
from sweepmaker.run import untrusted
from sweepmaker.run.disk import reason

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
SCHEMA = 1
_LARGEST_SIDE = 4096  # px of an image that a network is given
_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Transform:
    """How an image becomes what the network is given.

    Attributes:
        image_size: edge, px.
        resize: short side before the centre crop, px.
        mean, std: of pixels in [0, 1], a number for each channel.
    """

    image_size: int
    resize: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Artifact:
    """What a model folder holds.

    Attributes:
        folder: with ``model.json``.
        architecture: what the network is built from.
        classes: their names, in the order of the logits.
        transform: of an image.
        versions: of the packages that it was trained with.
        sha256: of its weights file, in hex.
    """

    folder: Path
    architecture: Mapping[str, Any]
    classes: tuple[str, ...]
    transform: Transform
    versions: Mapping[str, str]
    sha256: str

    def network(self) -> nn.Module:
        """The network with its weights, in eval mode: float images [N, 3, S, S] -> logits [N, C].

        Raises:
            UserError: the weights are damaged, or those of another network or number of classes.
        """
        network = self._built()
        weights = _weights(self.folder / WEIGHTS)
        _fits(network, weights, self)
        network.load_state_dict(weights)
        network.eval().requires_grad_(False)
        return network

    @property
    def is_own(self) -> bool:
        """Whether it is a LightningModule of the user's own, whose code lies in ``code/``."""
        return "target" in self.architecture

    def _built(self) -> nn.Module:
        try:
            if self.is_own:
                from sweepmaker.serving.own_module import build  # Lightning: seconds

                return build(self.folder / "code", self.architecture, len(self.classes))
            return build_network(self.architecture)
        except UserError as error:
            raise UserError(f"{self.folder / DESCRIPTION}: {error.message}", fix=error.fix) from error
        except Exception as error:  # whatever a library makes of an odd description
            raise UserError(
                f"{self.folder / DESCRIPTION}: its network cannot be built: {reason(error)}"
            ) from error


def open_artifact(folder: Path | str) -> Artifact:
    """The artifact in ``folder``; its weights are looked at, not yet loaded.

    Raises:
        UserError: a file is missing or broken, or says what this version does not know.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder", fix="a run's model folder: outputs/<date>/<time>/model")
    said = _read(folder)
    if said.get("schema") != SCHEMA:
        raise UserError(
            f"{folder / DESCRIPTION} has schema {said.get('schema')!r}, this version reads {SCHEMA}",
            fix="serve it with the version that wrote it: it is in code/",
        )
    try:
        classes = _classes(said)
        transform = _transform(said.get("transform"))
        architecture = _architecture(said.get("architecture"), len(classes))
        digest = _digest(folder, said.get("weights"))
    except ValueError as error:
        raise UserError(f"{folder / DESCRIPTION}: {error}") from error
    versions = said.get("versions")
    versions = {str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {}
    return Artifact(folder, architecture, classes, transform, versions, digest)


def _read(folder: Path) -> dict[str, Any]:
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} has no {name}, so it is no model of this program",
                fix="a run's model folder: outputs/<date>/<time>/model",
            )
    try:
        said = json.loads(untrusted.read_inside(folder, DESCRIPTION))
    except (ValueError, OSError, RecursionError) as error:
        raise _unreadable(folder / DESCRIPTION, error) from error
    if not isinstance(said, dict):
        raise UserError(f"{folder / DESCRIPTION} is not the JSON object that this program writes")
    return said


def _unreadable(file: Path, error: Exception) -> UserError:
    if file.is_symlink():
        return UserError(
            f"{file} is a link, which is not followed", fix=f"the file itself there: cp -L ... {file}"
        )
    return UserError(f"{file} cannot be read: {reason(error)}")


def _classes(said: Mapping[str, Any]) -> tuple[str, ...]:
    classes = said.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError("classes is not a list of names")
    if len(classes) == 1:
        raise ValueError("classes has one name; a classifier has at least two")
    return tuple(classes)


def _transform(given: Any) -> Transform:
    if given is None:
        raise ValueError(
            "it does not say how an image is prepared (transform is null). A data module of your own "
            "does so with transform_spec(), which returns image_size, resize, mean and std"
        )
    if not isinstance(given, dict):
        raise ValueError("transform is not an object")
    size, resize = (given.get(name) for name in ("image_size", "resize"))
    for name, value in (("image_size", size), ("resize", resize)):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST_SIDE:
            raise ValueError(f"transform.{name} is not a whole number from 1 to {_LARGEST_SIDE}")
    assert isinstance(size, int) and isinstance(resize, int)
    if resize < size:
        raise ValueError("transform.resize is below transform.image_size")
    for name, known in (("interpolation", "bicubic"), ("antialias", True)):
        if given.get(name, known) != known:
            raise ValueError(f"transform.{name} is not {known!r}, the one that this version has")
    mean, std = (_three(given.get(name), name) for name in ("mean", "std"))
    if min(std) <= 0:
        raise ValueError("transform.std is not above 0")
    return Transform(size, resize, mean, std)


def _three(values: Any, name: str) -> tuple[float, ...]:
    numbers = isinstance(values, list) and len(values) == 3
    if not numbers or not all(isinstance(one, int | float) and math.isfinite(one) for one in values):
        raise ValueError(f"transform.{name} is not three numbers")
    return tuple(float(one) for one in values)


def _architecture(given: Any, classes: int) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise ValueError("architecture is not an object")
    if "target" in given:
        if not isinstance(given["target"], str):
            raise ValueError("architecture.target is not a name")
        return given
    missing = [name for name in ("library", "name", "num_classes", "dropout") if name not in given]
    if missing:
        raise ValueError(f"architecture.{missing[0]} is missing")
    if not all(isinstance(given[name], str) for name in ("library", "name")):
        raise ValueError("architecture.library and architecture.name are not texts")
    if given["num_classes"] != classes:
        raise ValueError(f"{classes} classes are named, its network tells {given['num_classes']} apart")
    return given


def _digest(folder: Path, said: Any) -> str:
    found = hashlib.sha256()
    try:
        with untrusted.open_inside(folder, WEIGHTS) as file:
            while block := file.read(2**20):
                found.update(block)
    except OSError as error:
        raise _unreadable(folder / WEIGHTS, error) from error
    digest = found.hexdigest()
    told = said.get("sha256") if isinstance(said, dict) else None
    if told is not None and told != digest:
        raise ValueError(
            f"{WEIGHTS} is not the file that it was written with (its SHA-256 differs): copy the folder again"
        )
    return digest


def _weights(file: Path) -> dict[str, Tensor]:
    try:
        weights = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{file} is damaged: {reason(error)}", fix="copy it again from the run") from error
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(f"{file}: {name} holds nan or inf, so its answers would mean nothing")
    return weights


def _fits(network: nn.Module, weights: Mapping[str, Tensor], artifact: Artifact) -> None:
    own = network.state_dict()
    file = artifact.folder / WEIGHTS
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or unknown:
        names = ", ".join([*missing, *unknown][:_SHOWN])
        raise UserError(
            f"{file} is of another network than {DESCRIPTION} describes: {len(missing)} weights are missing, "
            f"{len(unknown)} unknown ({names}, ...)"
        )
    for name, value in own.items():
        if value.shape != weights[name].shape:
            raise UserError(
                f"{file} has {list(weights[name].shape)} for {name}, the network of {DESCRIPTION} with "
                f"{len(artifact.classes)} classes {list(value.shape)}"
            )
