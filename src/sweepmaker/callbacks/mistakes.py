"""The test images that a model is wrong about with most confidence: a small table and one picture."""

from __future__ import annotations

import csv
import heapq
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor

from sweepmaker.run.atomic import write_bytes, write_text

_MOST = 24  # images
_COLUMNS = 8  # of the picture
_TILE = 64  # px, the side of an image in it


class Mistakes(Callback):
    """Follows one test whose images come in their order, in one process; elsewhere it keeps nothing.

    It needs a ``test_step`` that returns logits [B, C], as the project's own does, and batches of
    (images, labels).
    """

    def __init__(self) -> None:
        self._seen = 0
        self._worst: list[tuple[float, int, int, int]] = []  # confidence, index, label, prediction
        self.classes = 0  # 0: nothing was followed

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if trainer.world_size > 1 or dataloader_idx or not _are_logits(outputs, batch):
            return
        self.classes = outputs.shape[1]
        labels = batch[1].cpu()
        shares, predictions = torch.softmax(outputs.detach().float(), dim=1).max(dim=1)
        shares, predictions = shares.cpu(), predictions.cpu()
        for place in (predictions != labels).nonzero().flatten().tolist():
            entry = (float(shares[place]), -(self._seen + place), int(labels[place]), int(predictions[place]))
            if len(self._worst) < _MOST:
                heapq.heappush(self._worst, entry)
            else:
                heapq.heappushpop(self._worst, entry)
        self._seen += len(labels)

    def write(self, folder: Path, split: str, data: Any, class_names: Sequence[str]) -> None:
        """Write ``mistakes_<split>.csv`` (tile, image, label, prediction, confidence) and its picture.

        Args:
            folder: an existing folder.
            split: the split that was tested.
            data: the data module; one of the project's own names the images and shows them.
            class_names: of the labels.

        Raises:
            OSError: the folder is missing, read-only or full.
        """
        if not self.classes:
            return
        worst = sorted(self._worst, reverse=True)
        images = data.dataset(split, augmented=False) if hasattr(data, "transform_spec") else None
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["tile", "image", "label", "prediction", "confidence"])
        tiles = []
        for tile, (confidence, index, label, prediction) in enumerate(worst):
            name = str(-index)
            if images is not None:
                name = data.source.item_name(int(images.items[-index]))
                tiles.append(images[-index][0])
            names = class_names[label], class_names[prediction]
            writer.writerow(["" if images is None else tile, name, *names, repr(confidence)])
        write_text(folder / f"mistakes_{split}.csv", text.getvalue())
        picture = folder / f"mistakes_{split}.png"
        if tiles:
            write_bytes(picture, _sheet(tiles))
        else:
            picture.unlink(missing_ok=True)


def _are_logits(outputs: Any, batch: Any) -> bool:
    labelled = isinstance(batch, list | tuple) and len(batch) == 2 and isinstance(batch[1], Tensor)
    return labelled and isinstance(outputs, Tensor) and outputs.ndim == 2 and len(outputs) == len(batch[1])


def _sheet(tiles: Sequence[Tensor]) -> bytes:
    """Images uint8 [3, S, S] side by side, `_COLUMNS` in a row, as PNG."""
    sheet = Image.new("RGB", (_COLUMNS * _TILE, -(-len(tiles) // _COLUMNS) * _TILE), "white")
    for place, tile in enumerate(tiles):
        image = Image.fromarray(np.ascontiguousarray(tile.permute(1, 2, 0).numpy()))
        row, column = divmod(place, _COLUMNS)
        sheet.paste(image.resize((_TILE, _TILE)), (column * _TILE, row * _TILE))
    content = io.BytesIO()
    sheet.save(content, format="PNG", optimize=True)
    return content.getvalue()
