"""Features in the place of images: a dataset that gives whole batches by one indexing operation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sweepmaker.data.dataset import Key

Batch = tuple[Tensor, Tensor]


class FeatureDataset(Dataset[Batch]):
    """Batches are ``(features float32 [B, D], labels int64 [B])``; keys as `ImageDataset` takes them.

    Args:
        features: float32 [views, N, D]; epoch e sees view e modulo the number of views.
        labels: int64 [N].
    """

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self.features = features
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> Batch:
        return self.__getitems__([key])

    def __getitems__(self, keys: list[Key]) -> Batch:
        """One batch, whole: the loader has nothing to collate."""
        epoch = keys[0][0] if isinstance(keys[0], tuple) else 0
        numbers = torch.tensor([key[1] if isinstance(key, tuple) else key for key in keys])
        return self.features[epoch % len(self.features)].index_select(0, numbers), self.labels[numbers]
