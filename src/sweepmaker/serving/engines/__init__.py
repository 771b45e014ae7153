"""Ways of computing the logits, and which of them is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run.disk import reason
from sweepmaker.serving.artifact import Artifact
from sweepmaker.serving.engines import agreement
from sweepmaker.serving.engines.base import Engine, Unavailable
from sweepmaker.serving.engines.compiled import Compiled
from sweepmaker.serving.engines.eager import Eager, Plain
from sweepmaker.serving.engines.onnx import Onnx
from sweepmaker.serving.engines.openvino import OpenVino, instruction

__all__ = ["Engine", "choose"]


# On a CPU nothing that says anything else than training's evaluation did: bfloat16 is for those who ask.
_AUTO = ("compile", "onnx", "eager")


@dataclass(frozen=True)
class _Way:
    """One engine: how it is made, how far its logits may be off, why it is taken."""

    make: Callable[[], Engine]
    tolerance: float
    why: str


def choose(
    artifact: Artifact,
    wanted: str = "auto",
    *,
    threads: int = 1,
    most: int = 32,
    choices: Choices | None = None,
) -> Engine:
    """The engine that ``wanted`` names, or the fastest that can be had; it agrees with the plain one.

    Args:
        artifact: the model.
        wanted: see conf/deploy.yaml.
        threads: of this process.
        most: images that are computed together.
        choices: gets the choice with its reason.

    Raises:
        ConfigError: the one that was asked for cannot be had.
        UserError: the model is broken, or the engine that was asked for does not agree with the plain one.
    """
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = artifact.network()
    plain = Plain(network, device, channels_last=not artifact.is_own)
    images = agreement.samples(artifact.transform)
    logits = _judged(plain, images, artifact)
    ways = _ways(artifact, network, device, threads, most)
    if wanted == "auto":
        engine, why = _first(
            {name: way for name, way in ways.items() if name in _AUTO}, plain, logits, images
        )
    else:
        engine, why = _asked_for(wanted, ways, plain, logits, images), "asked for"
    if choices is not None:
        choices.add("engine", engine.name, why)
    return engine


def _ways(artifact: Artifact, network: nn.Module, device: str, threads: int, most: int) -> dict[str, _Way]:
    """By their names, in the order in which ``auto`` tries them; none of them changes ``network``."""
    size, last = artifact.transform.image_size, not artifact.is_own
    eager = _Way(
        lambda: Eager(network, size, device, channels_last=last),
        agreement.EXACT,
        "PyTorch with batch norms folded",
    )
    if device == "cuda":
        compiled = _Way(
            lambda: Compiled(network, size, most=most, channels_last=last),
            agreement.REDUCED,
            f"torch.compile for {torch.cuda.get_device_name(0)}",
        )
        return {"compile": compiled, "eager": eager}
    onnx = _Way(lambda: Onnx(network, size, threads), agreement.EXACT, _why_onnx())
    openvino = _Way(lambda: OpenVino(network, size, threads), agreement.REDUCED, "bfloat16")
    return {"onnx": onnx, "eager": eager, "openvino": openvino}


def _why_onnx() -> str:
    faster = f"; in bfloat16, which the CPU has ({instruction()}), engine=openvino is faster still"
    return "ONNX Runtime, the fastest in float32" + (faster if instruction() else "")


def _first(ways: Mapping[str, _Way], plain: Engine, logits: Tensor, images: Tensor) -> tuple[Engine, str]:
    """The first that is there and agrees, and why not those before it."""
    passed_over = []
    for name, way in ways.items():
        try:
            engine = way.make()
            differs = agreement.disagreement(logits, engine, images, way.tolerance)
        except Unavailable as error:
            passed_over.append(f"{name}: {error}")
            continue
        if differs is None:
            return engine, "; ".join([way.why, *passed_over])
        passed_over.append(f"{name}: {differs}")
    return plain, "; ".join(["as it was trained", *passed_over])


def _asked_for(
    wanted: str, ways: Mapping[str, _Way], plain: Engine, logits: Tensor, images: Tensor
) -> Engine:
    if wanted == plain.name:
        return plain
    if wanted not in ways:
        where = "this machine's GPU" if plain.device == "cuda" else "a machine without a GPU"
        raise ConfigError(f"{wanted} is not for {where}", key="engine",
                          allowed=", ".join(["auto", *ways, plain.name]), fix="engine=auto")  # fmt: skip
    try:
        engine = ways[wanted].make()
    except Unavailable as error:
        raise ConfigError(f"{wanted} cannot be had: {error}", key="engine", fix="engine=auto") from error
    differs = agreement.disagreement(logits, engine, images, ways[wanted].tolerance)
    if differs is not None:
        raise UserError(
            f"engine={wanted} does not say what the model says, so it is not served: {differs}",
            fix="engine=plain, or engine=auto for the next one",
        )
    return engine


def _judged(plain: Engine, images: Tensor, artifact: Artifact) -> Tensor:
    """The plain engine's logits, which have to be some.

    Raises:
        UserError: the network cannot compute such images, or its answer is no row of logits for each.
    """
    try:
        logits = plain(images)
    except Exception as error:  # of a user's own forward anything; ours is given what it was trained on
        said = str(error) if isinstance(error, Unavailable) else f"{type(error).__name__}: {reason(error)}"
        size = artifact.transform.image_size
        raise UserError(
            f"the network does not answer {len(images)} images of {size} px: {said[:300]}"
        ) from error
    classes = len(artifact.classes) or logits.shape[-1]
    if logits.shape != (len(images), classes):
        raise UserError(
            f"the network answers {len(images)} images with {list(logits.shape)}, "
            f"not with logits of {classes} classes: {[len(images), classes]}"
        )
    if not bool(torch.isfinite(logits).all()):
        raise UserError("the network answers sample images with nan or inf")
    return logits
