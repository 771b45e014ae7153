"""What a batch says: images, labels, logits; found by their shapes, so that any module can be watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle
from torchmetrics import Metric

from sweepmaker.debugger.activations import is_compiled

MOST_CLASSES = 20_000  # whole numbers above this are no labels
MOST_CONFUSED = 2_048  # a matrix of more classes takes more memory, at every batch, than it is worth
_LABELS = ("label", "labels", "target", "targets", "y")  # a batch with names has other numbers too
_CONFUSIONS = 1_000  # pairs of classes that are kept: all of 32 classes, the largest shares of more


def _tensors(batch: Any) -> Iterable[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        yield from (part for part in batch.values() if isinstance(part, Tensor))
    elif isinstance(batch, list | tuple):
        yield from (part for part in batch if isinstance(part, Tensor))


def images_of(batch: Any) -> Tensor | None:
    """Float images [B, C, H, W] with 1, 3 or 4 channels; None where there are none (features, say)."""
    for part in _tensors(batch):
        if part.ndim == 4 and part.is_floating_point() and part.shape[1] in (1, 3, 4):
            return part.detach()
    return None


def labels_of(batch: Any) -> Tensor | None:
    """Labels int64 [B]; None where there are none."""
    if isinstance(batch, Mapping) and (named := [batch[name] for name in _LABELS if name in batch]):
        batch = named
    for part in _tensors(batch):
        if part.ndim == 1 and part.dtype in (torch.int64, torch.int32) and len(part):
            return part.detach()
    return None


class Logits:
    """The last output [B, C] that a module or one of its direct parts gave, while it is watched.

    Args:
        module: the LightningModule; what ``self(images)`` or ``self.net(images)`` returns is found.
    """

    def __init__(self, module: nn.Module) -> None:
        # a compiled part is watched from outside, by the module that calls it
        parts = [part for part in module.children() if any(True for _ in part.parameters())]
        parts = [part for part in parts if not isinstance(part, Metric) and not is_compiled(part)]
        self._parts = [module, *parts]
        self._handles: list[RemovableHandle] = []
        self._last: Tensor | None = None

    def begin(self) -> None:
        """Watch from here."""
        if not self._handles:
            self._handles = [part.register_forward_hook(self._keep) for part in self._parts]
        self._last = None

    def stop(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _keep(self, module: nn.Module, given: Any, output: Any) -> None:
        if (
            isinstance(output, Tensor)
            and output.ndim == 2
            and output.is_floating_point()
            and output.shape[1] > 1
        ):
            self._last = output.detach()

    def take(self, labels: Tensor | None) -> Tensor | None:
        """The logits for ``labels``; None where nothing fits them."""
        last, self._last = self._last, None
        return last if labels is not None and last is not None and len(last) == len(labels) else None


@torch.no_grad()
def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean loss without label smoothing, which a validation loss does not have either.

    Labels that are no class do not count: on a GPU they would end the process.
    """
    fits = (labels >= 0) & (labels < logits.shape[1])
    return functional.cross_entropy(logits.float(), torch.where(fits, labels.long(), -100), ignore_index=-100)


@torch.no_grad()
def moments(images: Tensor) -> Tensor:
    """Per channel sum, sum of squares, negated minimum, maximum: [4, C], float64 on the CPU, else float32."""
    kind = torch.float64 if images.device.type == "cpu" else torch.float32
    flat = images.transpose(0, 1).flatten(1)
    exact = flat.to(kind)
    low, high = flat.aminmax(dim=1)
    return torch.stack([exact.sum(1), (exact * exact).sum(1), -low.to(kind), high.to(kind)])


@torch.no_grad()
def counts(matrix: Tensor) -> dict[str, Any]:
    """What `Evaluation` keeps of a confusion matrix int64 [C, C], rows are labels."""
    matrix = matrix.cpu()
    off = matrix - torch.diag(matrix.diagonal())
    # of a class's own images or of what was predicted as it: rules may ask for either
    share = torch.maximum(*(off / matrix.sum(axis, keepdim=True).clamp_min(1) for axis in (0, 1)))
    found = torch.topk(share.flatten(), min(_CONFUSIONS, int(off.count_nonzero()))).indices.tolist()
    pairs = [divmod(place, len(matrix)) for place in found]
    return {
        "support": matrix.sum(1).tolist(),
        "predicted": matrix.sum(0).tolist(),
        "correct": matrix.diagonal().tolist(),
        "confused": [(row, column, int(off[row, column])) for row, column in pairs],
    }


@torch.no_grad()
def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Confusion matrix int64 [C, C] of one batch."""
    classes = logits.shape[1]
    fits = (labels >= 0) & (labels < classes)
    places = labels[fits].long() * classes + logits.argmax(1)[fits]
    return torch.bincount(places, minlength=classes * classes).reshape(classes, classes)
