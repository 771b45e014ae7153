"""Ways of computing the logits, and which of them is taken."""

from __future__ import annotations

from collections.abc import Callable

import torch

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError
from sweepmaker.serving.artifact import Artifact
from sweepmaker.serving.engines.base import Engine, Unavailable
from sweepmaker.serving.engines.eager import Eager, Plain

__all__ = ["Engine", "choose"]


def choose(
    artifact: Artifact, wanted: str = "auto", *, threads: int = 1, choices: Choices | None = None
) -> Engine:
    """The engine that ``wanted`` names, or the best of those that this machine has.

    Args:
        artifact: the model.
        wanted: see conf/deploy.yaml.
        threads: of this process.
        choices: gets the choice with its reason.

    Raises:
        ConfigError: the one that was asked for cannot be had.
        UserError: the model is broken.
    """
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = artifact.network()
    last = not artifact.is_own
    makers: dict[str, Callable[[], Engine]] = {
        "eager": lambda: Eager(network, device, channels_last=last),
        "plain": lambda: Plain(network, device, channels_last=last),
    }
    order = [wanted] if wanted != "auto" else list(makers)
    for name in order:
        if name not in makers:
            raise ConfigError(f"{name} is not there yet", key="engine")
        try:
            engine = makers[name]()
        except Unavailable as error:
            if wanted != "auto":
                raise ConfigError(str(error), key="engine", fix="engine=auto") from error
            continue
        if choices is not None:
            choices.add("engine", engine.name, "asked for" if wanted != "auto" else "PyTorch")
        return engine
    raise AssertionError("plain is always there")
