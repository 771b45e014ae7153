"""An exponential moving average of the weights, Lightning's."""

from __future__ import annotations

from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AveragedWeights(WeightAveraging):
    """Validates and keeps the average; training goes on with the weights themselves.

    Unlike Lightning's own ``EMAWeightAveraging`` it moves the average towards the weights by torch's
    ``lerp``: what does not change stays as it is to the last bit, which ``a * d + a * (1 - d)`` does not.

    Args:
        decay: share of the average that an update keeps, in (0, 1).
        update_every_n_steps: optimizer steps between two updates.
    """

    def __init__(self, decay: float = 0.999, update_every_n_steps: int = 1) -> None:
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
        self._every = update_every_n_steps

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether this is a step after which the average moves."""
        return step_idx is not None and step_idx % self._every == 0
