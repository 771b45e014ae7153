"""Training images decoded in the main process, on the device: on a CPU the pixels of ever, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data._utils.pin_memory import pin_memory

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data import ImageDataModule, encoded
from sweepmaker.data.encoded import EncodedBatch, is_for_device
from tests.data.test_datamodule import AUGMENT, ready
from tests.data.test_lightning import Recorder
from tests.images import class_tree, photo, photo_jpeg
from tests.images import encoded as file_of

CPU = torch.device("cpu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """JPEGs, and in each batch something that nvJPEG cannot do, or does otherwise."""
    root = class_tree(tmp_path / "photos", images=4, size=(60, 45))
    cat = root / "train" / "cat"
    small = photo(3, (40, 30))
    turned = Image.Exif()
    turned[0x0112] = 6
    (cat / "a.png").write_bytes(file_of(small, "PNG"))
    (cat / "b.jpg").write_bytes(file_of(small.convert("CMYK"), "JPEG"))
    (cat / "c.jpg").write_bytes(file_of(small, "JPEG", exif=turned))
    (cat / "d.jpg").write_bytes(file_of(small.convert("L"), "JPEG"))
    (cat / "e.webp").write_bytes(file_of(small, "WEBP"))
    return root


def on_device(root: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> ImageDataModule:
    """A data module that takes the CPU for a GPU."""
    monkeypatch.setattr(encoded, "choose", lambda *where: ("gpu", "for a test"))
    data = ready("folder", root=str(root), augment=AUGMENT, **changes)
    assert data.on_device is not None
    return data


def finished(data: ImageDataModule, epoch: int = 0) -> list[tuple[Tensor, Tensor]]:
    """The batches of an epoch, as they reach the network."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return [data.on_after_batch_transfer(batch, 0) for batch in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_on_a_cpu_the_pixels_are_the_same_bit_for_bit(
    root: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = finished(ready("folder", root=str(root), augment=AUGMENT), 1)
    data = on_device(root, monkeypatch, num_workers=workers)
    found = finished(data, 1)
    assert len(found) == len(plain) == 3
    for (images, labels), (same, as_well) in zip(found, plain, strict=True):
        assert torch.equal(images, same) and torch.equal(labels, as_well)
    batch, labels = next(iter(data.train_dataloader()))
    assert isinstance(batch, EncodedBatch)
    # nvJPEG reads files in the main memory: neither of those who move batches touches them
    assert pin_memory(batch) is batch
    assert data.transfer_batch_to_device((batch, labels), torch.device("meta"), 0)[0] is batch


def test_an_epoch_entered_in_the_middle_gives_the_rest_of_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finished(on_device(root, monkeypatch), 2)
    data = on_device(root, monkeypatch)
    data.position = (2, 1)
    rest = [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(rest, whole[1:], strict=True))


def test_evaluation_is_decoded_as_ever(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = on_device(root, monkeypatch)
    for loader in (data.val_dataloader(), data.test_dataloader()):
        assert all(isinstance(images, Tensor) for images, _ in loader)


@pytest.mark.parametrize("overfit", [0, 1])
@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_lightning_takes_it(root: Path, overfit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning import Trainer

    seen = []
    for data in (
        ready("folder", root=str(root), augment=AUGMENT, image_size=8),
        on_device(root, monkeypatch, image_size=8),
    ):
        model = Recorder()
        Trainer(
            accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, overfit_batches=overfit,
        ).fit(model, datamodule=data)  # fmt: skip
        seen.append(model.seen)
    assert len(seen[0]) == (2 if overfit else 6) and seen[0] == seen[1]


def test_what_the_device_is_given(root: Path) -> None:
    def fits(content: bytes) -> bool:
        return is_for_device(bytearray(content), max_pixels=10_000)

    small = photo(0, (40, 30))
    upright = Image.Exif()
    upright[0x0112] = 1
    assert fits(photo_jpeg(0, (40, 30))) and fits(file_of(small, "JPEG", exif=upright, progressive=True))
    others = sorted(path for path in (root / "train" / "cat").iterdir() if path.stem in "abcde")
    assert len(others) == 5 and not any(fits(path.read_bytes()) for path in others)
    assert not fits(photo_jpeg(0, (400, 300))) and not fits(b"") and not fits(photo_jpeg(0)[:20])


def test_a_file_that_the_device_fails_at_is_the_cpus(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = finished(ready("folder", root=str(root), augment=AUGMENT))
    data = on_device(root, monkeypatch)
    decode, odd = encoded.decode_jpeg, len((root / "train" / "dog" / "0.jpg").read_bytes())

    def refuses(files: list[Tensor], **how: Any) -> list[Tensor]:
        if any(len(file) == odd for file in files):
            raise RuntimeError("nvjpegDecode failed: 5")
        return decode(files, **how)  # type: ignore[no-any-return]

    monkeypatch.setattr(encoded, "decode_jpeg", refuses)
    found = finished(data)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(found, plain, strict=True))

    def out_of_memory(files: list[Tensor], **how: Any) -> list[Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(encoded, "decode_jpeg", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        finished(data)


@pytest.mark.parametrize("how", ["gone", "cut"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_goes_bad_during_the_run_is_one_clear_error(
    root: Path, workers: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = on_device(root, monkeypatch, num_workers=workers)
    for path in (root / "train" / "dog").glob("*.jpg"):
        if how == "gone":
            path.unlink()
        else:  # whole as far as its header goes
            path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"train/dog/\d\.jpg") as caught:
        finished(data)
    assert "Traceback" not in str(caught.value)


def test_refused_where_there_is_no_gpu(root: Path) -> None:
    data = ImageDataModule(source="folder", root=str(root), image_size=16, batch_size=4, seed=0, decode="gpu")
    with pytest.raises(ConfigError, match="there is no CUDA GPU to decode on: this run trains on cpu"):
        data.will_train_on("cpu")
    data.setup()
    with pytest.raises(ConfigError, match="there is no CUDA GPU") as caught:
        data.train_dataloader()
    assert caught.value.key == "data.decode" and caught.value.fix == "data.decode=auto"


def test_where_and_why(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert encoded.choose("cpu", "cuda", 1) == ("cpu", "as configured")
    assert encoded.choose("auto", "mps", 1) == ("cpu", "no CUDA GPU")
    assert encoded.choose("auto", "cuda", 16) == ("cpu", "16 cores decode while the GPU computes")
    # a GPU that torchvision cannot decode on, which this machine has in any case: none at all, or no nvJPEG
    monkeypatch.setattr(encoded, "nvjpeg_problem", lambda device: "built without nvJPEG")
    assert encoded.choose("auto", "cuda", 2) == (
        "cpu", "torchvision cannot decode on this GPU: built without nvJPEG",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="built without nvJPEG"):
        encoded.choose("gpu", "cuda", 16)
    monkeypatch.setattr(encoded, "nvjpeg_problem", lambda device: None)
    where, reason = encoded.choose("auto", "cuda", 2)
    assert where == "gpu" and "2 core(s) are too few" in reason and "evaluation decodes on the CPU" in reason
    assert encoded.choose("gpu", "cuda", 16)[0] == "gpu"


def test_told_where_something_is_decoded_while_it_trains(root: Path) -> None:
    def told(source: str = "folder", **changes: Any) -> Any:
        data = ImageDataModule(source=source, image_size=16, batch_size=4, seed=0, **changes)
        data.choices = Choices(quiet=True)
        data.setup()
        return data.choices.as_dict().get("data.decode")

    assert told(root=str(root)) == {"value": "cpu", "reason": "no CUDA GPU"}
    assert told(root=str(root), cache="disk") is None and told("digits") is None


def test_what_torchvision_cannot_do_is_found_out() -> None:
    assert encoded.nvjpeg_problem(CPU) is None
    if not torch.cuda.is_available():
        problem = encoded.nvjpeg_problem(torch.device("cuda"))
        assert problem and "\n" not in problem
