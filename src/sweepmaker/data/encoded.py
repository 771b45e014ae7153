"""Training images decoded and augmented on the GPU: worker processes only read files.

nvJPEG's pixels differ a little from those of the CPU's decoder, so it is for training images alone: what is
evaluated, cached or computed features of is decoded as everywhere else. Which part of an image is shown is
drawn from the same stream as ever, that of (seed, epoch, index).
"""

from __future__ import annotations

import io

import torch
from PIL import ExifTags, Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data.dataset import ImageDataset, Key
from sweepmaker.data.folder import FolderSource
from sweepmaker.data.headers import read_header

KEY = "data.decode"
MODES = ("auto", "cpu", "gpu")
_FEW_CORES = 2  # one worker decodes and crops fewer than the about 1,000 photographs a second of a fast GPU
_ON_GPU = "by nvJPEG, whose pixels differ a little; evaluation decodes on the CPU"


class EncodedBatch:
    """Images of one batch, most of them still as their files; opaque to what moves batches to a device.

    Args:
        images: in the batch's order: the bytes of a file, uint8 [bytes], or finished, uint8 [3, S, S].
        keys: of the dataset, one for each.
    """

    def __init__(self, images: list[Tensor], keys: list[Key]) -> None:
        files = [image for image in images if image.ndim == 1]
        finished = [image for image in images if image.ndim == 3]
        self.keys = keys
        self.is_file = [image.ndim == 1 for image in images]
        # two tensors, not one an image: each costs a worker's batch a file descriptor
        self._files = torch.cat(files) if files else None
        self._lengths = [len(file) for file in files]
        self._finished = torch.stack(finished) if finished else None

    def files(self) -> list[Tensor]:
        """Those that are still to be decoded, uint8 [bytes] on the CPU."""
        return [] if self._files is None else list(torch.split(self._files, self._lengths))

    def finished(self) -> list[Tensor]:
        """The others, uint8 [3, S, S] on the CPU."""
        return [] if self._finished is None else list(self._finished)


class EncodedDataset(Dataset[tuple[EncodedBatch, Tensor]]):
    """Whole batches ``(EncodedBatch, labels int64 [B])`` of ``images``, which ``decode`` finishes.

    Args:
        images: of files.
        source: the same files.
    """

    def __init__(self, images: ImageDataset, source: FolderSource) -> None:
        self._images = images
        self._source = source

    def __len__(self) -> int:
        return len(self._images)

    def __getitems__(self, keys: list[Key]) -> tuple[EncodedBatch, Tensor] | DataError:
        """One batch; an error is returned as ``ImageDataset`` does."""
        try:
            batch = EncodedBatch([self._read(key) for key in keys], keys)
        except DataError as error:
            return error
        labels = [int(self._source.labels[self._images.item(key)]) for key in keys]
        return batch, torch.tensor(labels, dtype=torch.int64)

    def decode(self, batch: EncodedBatch, device: torch.device) -> Tensor:
        """The images uint8 [B, 3, S, S] on ``device``; on the CPU those of ``images`` bit for bit.

        Raises:
            DataError: a file that cannot be decoded.
        """
        decoded, finished = iter(_decode(batch.files(), device)), iter(batch.finished())
        made = []
        for key, is_file in zip(batch.keys, batch.is_file, strict=True):
            if not is_file:
                made.append(next(finished).to(device, non_blocking=True))
                continue
            image = next(decoded)
            if image is None:  # the CPU's decoder has a go, and says what is wrong
                image = self._images.source.load(self._images.item(key)).to(device)
            made.append(self._images.transformed(image, key))
        return torch.stack(made)

    def _read(self, key: Key) -> Tensor:
        data = self._source.read(self._images.item(key))
        if is_for_device(data, max_pixels=self._source.max_pixels):
            return torch.frombuffer(data, dtype=torch.uint8)
        return self._images[key][0]


def is_for_device(data: bytearray, *, max_pixels: int) -> bool:
    """Whether nvJPEG makes the image of a file that people mean: an upright JPEG with three channels."""
    header = read_header(data)
    if header is None or header.kind != "jpeg" or header.width * header.height > max_pixels:
        return False
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            return upright and image.mode == "RGB" and image.info.get("adobe_transform", 1) == 1
    except Exception:  # broken files raise almost anything; the CPU's decoder says what is wrong
        return False


def _decode(files: list[Tensor], device: torch.device) -> list[Tensor | None]:
    """Images uint8 [3, H, W] on ``device``; None for a file that it cannot decode."""
    if not files:
        return []
    try:
        return list(decode_jpeg(files, mode=ImageReadMode.RGB, device=device))
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except RuntimeError:  # of all of them, if one is broken or of a form that it lacks
        if len(files) == 1:
            return [None]
        return [image for file in files for image in _decode([file], device)]


def refuse_without_gpu(mode: str, device_type: str) -> None:
    """Raises ConfigError for ``data.decode=gpu`` where a run trains on something else than a CUDA GPU."""
    if mode == "gpu" and device_type != "cuda":
        raise ConfigError(
            f"there is no CUDA GPU to decode on: this run trains on {device_type}",
            key=KEY,
            allowed="auto | cpu without a CUDA GPU",
            fix="data.decode=auto",
        )


def choose(mode: str, device_type: str, cores: int) -> tuple[str, str]:
    """Where files are decoded that no cache keeps, and why.

    Args:
        mode: one of `MODES`.
        device_type: of the device that the run trains on.
        cores: of this machine.

    Raises:
        ConfigError: ``gpu``, and torchvision cannot decode there.
    """
    if mode == "cpu":
        return "cpu", "as configured"
    if device_type != "cuda":
        return "cpu", "no CUDA GPU"
    if mode == "auto" and cores > _FEW_CORES:
        return "cpu", f"{cores} cores decode while the GPU computes"
    problem = nvjpeg_problem(torch.device("cuda"))
    if problem is None:
        few = (
            f"{cores} core(s) are too few to decode for a GPU and there is no cache" if mode == "auto" else ""
        )
        return "gpu", "; ".join(filter(None, [few or "as configured", _ON_GPU]))
    if mode == "gpu":
        raise ConfigError(f"torchvision cannot decode on this GPU: {problem}", key=KEY,
                          allowed="auto | cpu here", fix="data.decode=auto")  # fmt: skip
    return "cpu", f"torchvision cannot decode on this GPU: {problem}"


def nvjpeg_problem(device: torch.device) -> str | None:
    """Why torchvision cannot decode a JPEG on ``device``, in a line; None: it can."""
    try:
        decode_jpeg([encode_jpeg(torch.zeros(3, 16, 16, dtype=torch.uint8))], device=device)
        return None
    except RuntimeError as error:  # built without nvJPEG, or for another driver
        return str(error).partition("\n")[0]
