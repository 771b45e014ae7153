"""A model that answers: images in, probabilities out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sweepmaker.config.choices import Choices
from sweepmaker.data.transforms import EvaluationTransform, normalise
from sweepmaker.run.environment import available_cores
from sweepmaker.serving import engines
from sweepmaker.serving.artifact import Artifact, open_artifact
from sweepmaker.serving.engines import Engine

_AT_ONCE = 32  # images: more of them need memory and are no faster
_RESIZERS = 8  # threads that keep a GPU busy; on a CPU every core has its own worker


@dataclass(frozen=True)
class Model:
    """An artifact and what computes it.

    Attributes:
        artifact: with classes and transform.
        engine: for the logits.
        top_k: classes in an answer.
    """

    artifact: Artifact
    engine: Engine
    top_k: int = 5

    def pixels(self, image: Tensor) -> Tensor:
        """uint8 [3, S, S] of an image uint8 [3, H, W]: resized and cut as in training's evaluation."""
        spec = self.artifact.transform
        return EvaluationTransform(resize=spec.resize, size=spec.image_size)(image)

    def normalised(self, pixels: Sequence[Tensor]) -> Tensor:
        """What the network is given: float32 [N, 3, S, S] of `pixels`."""
        return normalise(torch.stack(list(pixels)), self.artifact.transform.mean, self.artifact.transform.std)

    def logits(self, images: Sequence[Tensor]) -> Tensor:
        """float32 [N, C] on the CPU, of uint8 images [3, H, W] of any sizes."""
        parts = [
            self.engine(self.normalised(self._resized(images[start : start + _AT_ONCE])))
            for start in range(0, len(images), _AT_ONCE)
        ]
        return torch.cat(parts)

    def _resized(self, images: Sequence[Tensor]) -> list[Tensor]:
        if self.engine.device == "cpu" or len(images) == 1:
            return [self.pixels(image) for image in images]
        return list(_resizers().map(self.pixels, images))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.artifact.classes


@functools.cache
def _resizers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(_RESIZERS, available_cores()), thread_name_prefix="resize")


def load(
    folder: Path | str,
    *,
    engine: str = "auto",
    threads: int = 1,
    top_k: int = 5,
    choices: Choices | None = None,
) -> Model:
    """The model in ``folder``, ready to answer.

    Args:
        folder: a model artifact.
        engine: see conf/deploy.yaml.
        threads: of this process.
        top_k: classes in an answer.
        choices: gets what is chosen with its reason.

    Raises:
        ConfigError: the engine that was asked for cannot be had.
        UserError: the artifact is broken.
    """
    artifact = open_artifact(folder)
    return Model(artifact, engines.choose(artifact, engine, threads=threads, choices=choices), top_k)
