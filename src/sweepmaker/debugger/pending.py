"""Numbers that wait on the device until a sample fetches them all at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from sweepmaker.debugger.batches import MOST_CLASSES


def fetch(parts: Mapping[str, Tensor], trainer: Trainer, local: set[str]) -> dict[str, list[float]]:
    """One transfer of one-dimensional tensors to the host.

    Args:
        parts: by name; float32 [n] each, after this.
        local: names whose values differ from process to process: the mean over all of them is taken.

    Returns:
        the same names, as numbers; equal in all processes.
    """
    if not parts:
        return {}
    device = trainer.strategy.root_device
    own = {name: part.to(device, torch.float32) for name, part in parts.items()}
    if trainer.world_size > 1:
        # gradients and weights are the same everywhere: DDP has reduced the former
        names = [name for name in own if name in local and len(own[name])]
        if names:
            together = trainer.strategy.reduce(torch.cat([own[name] for name in names]), reduce_op="mean")
            assert isinstance(together, Tensor)
            sizes = [len(own[name]) for name in names]
            own |= dict(zip(names, torch.split(together, sizes), strict=True))
    numbers = torch.cat(list(own.values())).tolist()
    fetched, begin = {}, 0
    for name, part in own.items():
        fetched[name] = numbers[begin : begin + len(part)]
        begin += len(part)
    return fetched


class Losses:
    """Losses of training batches since the last record and since the last validation."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Tensor]] = {"losses": [], "clean": []}
        self._record: list[float] = []
        self._validation: dict[str, list[float]] = {"losses": [], "clean": []}

    def add(self, loss: Tensor) -> None:
        """The loss of one batch, a scalar on the device."""
        self._waiting["losses"].append(loss)

    def add_clean(self, loss: Tensor) -> None:
        """The loss of one batch without label smoothing."""
        self._waiting["clean"].append(loss)

    def waiting(self) -> dict[str, Tensor]:
        """What is still on the device, by name: to be fetched, and given to `fetched`."""
        parts = {name: torch.stack(values) for name, values in self._waiting.items() if values}
        self._waiting = {"losses": [], "clean": []}
        return parts

    def fetched(self, numbers: Mapping[str, list[float]]) -> None:
        """Take what was fetched of `waiting`."""
        for name in self._validation:
            self._validation[name] += numbers.get(name, [])
        self._record += numbers.get("losses", [])

    def record(self) -> list[float]:
        """Losses of every batch since the last call."""
        losses, self._record = self._record, []
        return losses

    def since_validation(self) -> float | None:
        """Mean of the second half since the last call, without label smoothing where that was taken out."""
        clean, losses = self._validation["clean"], self._validation["losses"]
        self._validation = {"losses": [], "clean": []}
        half = clean or losses[len(losses) // 2 :]
        return sum(half) / len(half) if half else None

    def state_dict(self) -> dict[str, Any]:
        """Everything, as numbers; what waits on the device stays there."""
        return {
            "waiting": {name: [float(value) for value in values] for name, values in self._waiting.items()},
            "record": list(self._record),
            "validation": {name: list(values) for name, values in self._validation.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on where an earlier process was."""
        self._waiting = {
            name: [torch.tensor(value, device=device) for value in values]
            for name, values in state["waiting"].items()
        }
        self._record = list(state["record"])
        self._validation = {name: list(values) for name, values in state["validation"].items()}


class FirstBatches:
    """Images and labels of the first batches, until there are enough of each.

    Args:
        images: how many are wanted; 0: none.
        labels: how many are wanted; 0: none.
    """

    def __init__(self, images: int, labels: int) -> None:
        self._wanted = {"images": images, "labels": labels}
        self._seen = {"images": 0, "labels": 0}
        self._moments: Tensor | None = None
        self._pixels = 0
        self._counts: dict[int, int] = {}

    @property
    def done(self) -> bool:
        """Nothing more is wanted."""
        return not any(self._wanted.values())

    def add_images(self, moments: Tensor, count: int, pixels: int) -> None:
        """Add one batch of ``count`` images with ``pixels`` each: moments [4, C]."""
        known = self._moments
        if known is None or known.shape != moments.shape:
            self._moments, self._pixels, self._seen["images"] = moments, 0, 0
        else:
            self._moments = torch.cat([known[:2] + moments[:2], torch.maximum(known[2:], moments[2:])])
        self._pixels += count * pixels
        self._seen["images"] += count

    def add_labels(self, labels: Tensor) -> None:
        """Add the labels of one batch."""
        for label in labels.tolist():
            self._counts[label] = self._counts.get(label, 0) + 1
        self._seen["labels"] += len(labels)

    def wants(self, what: str) -> bool:
        """Whether more of ``images`` or ``labels`` are wanted."""
        return self._wanted[what] > 0

    def images(self, *, anyway: bool = False) -> dict[str, Any] | None:
        """What `Images` is made of, once; None before there are enough (``anyway``: with fewer)."""
        if not self._ready("images", anyway) or self._moments is None:
            return None
        total, squares, low, high = self._moments.double().cpu().tolist()
        mean = [value / self._pixels for value in total]
        std = [max(value / self._pixels - m * m, 0) ** 0.5 for value, m in zip(squares, mean, strict=True)]
        return {
            "count": self._seen["images"],
            "mean": mean,
            "std": std,
            "low": [-x for x in low],
            "high": high,
        }

    def labels(self, *, anyway: bool = False) -> list[int] | None:
        """Images of each class, once; None before there are enough (``anyway``: with fewer)."""
        if not self._ready("labels", anyway) or not self._counts:
            return None
        if min(self._counts) < 0 or max(self._counts) > MOST_CLASSES:
            return None  # numbers of something else
        return [self._counts.get(label, 0) for label in range(max(self._counts) + 1)]

    def _ready(self, what: str, anyway: bool) -> bool:
        enough = self._seen[what] >= self._wanted[what] or (anyway and self._seen[what] > 0)
        if self.wants(what) and enough:
            self._wanted[what] = 0
            return True
        return False

    def state_dict(self) -> dict[str, Any]:
        """Everything, as numbers and one tensor."""
        moments = None if self._moments is None else self._moments.cpu()
        return {
            "wanted": dict(self._wanted), "seen": dict(self._seen), "moments": moments,
            "pixels": self._pixels, "counts": dict(self._counts),
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on where an earlier process was."""
        self._wanted, self._seen = dict(state["wanted"]), dict(state["seen"])
        self._moments = None if state["moments"] is None else state["moments"].to(device)
        self._pixels, self._counts = state["pixels"], dict(state["counts"])
