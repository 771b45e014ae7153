"""ImageDataModule: the one LightningDataModule over every source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from sweepmaker.config.errors import ConfigError
from sweepmaker.data import description, encoded, options
from sweepmaker.data.cache.choose import open_pixels
from sweepmaker.data.cache.features import Tables
from sweepmaker.data.cache.pixels import CachedSource, Pixels, Plan, plan, training_side
from sweepmaker.data.dataset import ImageDataset, Images
from sweepmaker.data.decode import MAX_PIXELS
from sweepmaker.data.encoded import EncodedBatch, EncodedDataset
from sweepmaker.data.features import FeatureDataset
from sweepmaker.data.folder import FolderSource
from sweepmaker.data.loader import ImageLoader, make_loader
from sweepmaker.data.opening import judge, open_source
from sweepmaker.data.packed import PackedSource, open_packed, pack
from sweepmaker.data.parts import divide, missing_classes
from sweepmaker.data.sampler import EpochSampler
from sweepmaker.data.source import Source
from sweepmaker.data.splits import IntArray
from sweepmaker.data.statistics import ChannelStats, measure
from sweepmaker.data.storage import Store
from sweepmaker.data.surroundings import InRun
from sweepmaker.data.transforms import EvaluationTransform, TrainingTransform, normalise
from sweepmaker.run.environment import available_cores

Split = ImageDataset | FeatureDataset | EncodedDataset


class ImageDataModule(InRun):
    """Images of one source, in batches ``(uint8 [B, 3, S, S], int64 [B])``.

    On the device the images become normalised float32 (``on_after_batch_transfer``). Order and
    augmentation are functions of (seed, epoch, index), so they depend neither on the number of
    workers nor on where a run was interrupted.

    Args:
        source: digits | fashion_mnist | folder.
        root: the data's folder; needed for ``folder``, optional for ``fashion_mnist``.
        image_size: edge of the images that the model sees, px.
        batch_size: images per batch and process.
        seed: of order and augmentation.
        splits: fractions of ``valid`` and ``test``, where the source lacks them.
        split_seed: of those splits and of ``limit``; None takes ``seed``.
        stats: ``data`` (exact mean and std of the training split), ``imagenet``, or
            ``{mean: [...], std: [...]}`` of pixels in [0, 1].
        on_bad_image: ``stop`` with an error naming the file, or ``skip`` and list it.
        resize: short side before the centre crop of evaluation, px; None takes ``image_size``.
        augment: ``crop_scale`` (low and high share of the area, or null), ``hflip`` (probability),
            ``trivial_augment`` (true or false).
        num_workers: processes that load images, or ``auto``.
        max_pixels: an image with more is bad (a decompression bomb).
        limit: subset sizes per split, images, stratified; null takes all.
        cache: ``disk`` keeps decoded images in a file that all runs share, ``none``, or ``auto``.
        cache_uri: folder with a cache made before, in the place of ``root``.
        views: so many augmented views of each training image are cached as features; 0: none.
        cache_dir: folder of that file; None: beside the data, or the user's cache folder.
        decode: ``gpu`` decodes and augments training images on the GPU, ``cpu``, or ``auto``.

    Raises:
        ConfigError: an impossible value (here), or nothing usable under ``root`` (in ``setup``).
        DataError: in ``setup``, a bad image with ``on_bad_image="stop"``.
    """

    class_names: list[str]
    counts: dict[str, int]
    fingerprint: str
    skipped: list[str]
    stats_: ChannelStats

    def __init__(
        self,
        *,
        source: str,
        image_size: int,
        batch_size: int,
        seed: int,
        root: str | None = None,
        splits: Mapping[str, float] | None = None,
        split_seed: int | None = None,
        stats: str | Mapping[str, Sequence[float]] = "data",
        on_bad_image: str = "stop",
        resize: int | None = None,
        augment: Mapping[str, Any] | None = None,
        num_workers: int | str = "auto",
        max_pixels: int = MAX_PIXELS,
        limit: Mapping[str, int | None] | None = None,
        cache: str = "none",
        cache_dir: str | None = None,
        cache_uri: str | None = None,
        views: int = 0,
        decode: str = "auto",
    ) -> None:
        super().__init__(options.num_workers(num_workers))
        self.source_name = options.choice(source, "data.source", options.SOURCES)
        self.cache_uri = options.cache_uri(cache_uri, root=root)
        self.root = options.root(root, needed=self.source_name == "folder" and self.cache_uri is None)
        self.image_size = options.image_size(image_size)
        self.batch_size = options.integer(batch_size, "batch_size", lowest=1)
        self.seed = options.integer(seed, "seed", lowest=0)
        self.splits = options.splits({} if splits is None else splits)
        split_seed = seed if split_seed is None else split_seed
        self.split_seed = options.integer(split_seed, "data.split_seed", lowest=0)
        self.stats = options.stats(stats)
        self.on_bad_image = options.choice(on_bad_image, "data.on_bad_image", options.ON_BAD_IMAGE)
        self.resize = options.resize(resize, self.image_size)
        self.augment = options.augment({} if augment is None else augment)
        self.max_pixels = options.integer(max_pixels, "data.max_pixels", lowest=1)
        self.limit = options.limit(limit)
        self.cache = options.choice(cache, "data.cache", options.CACHES)
        self.cache_dir = options.folder(cache_dir, "data.cache_dir")
        self.views = options.integer(views, "data.views", lowest=0)
        self.decode = options.choice(decode, encoded.KEY, encoded.MODES)
        self.position: tuple[int, int] | None = None
        """(epoch, batches already done) at which the next training epoch begins; None: at 0."""
        self._source: Source | None = None
        self.bad: dict[int, str] = {}
        self._parts: dict[str, IntArray] = {}
        self.missing_classes: dict[str, list[str]] = {}
        self.pixels: Pixels | None = None
        self._features: dict[str, FeatureDataset] = {}
        self.on_device: EncodedDataset | None = None
        """Training images, where the GPU decodes them."""
        self.training_side = training_side(self.image_size, self.resize, crops=bool(self.augment.crop_scale))

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def augments(self) -> bool:
        """Whether a training image looks different in each epoch."""
        return self.augment != options.augment({})

    @property
    def source(self) -> Source:
        """The data set itself, every item looked at."""
        return self._open()

    def will_train_on(self, accelerator: str) -> None:
        """Say beforehand on what; raises ConfigError where ``decode`` needs another device."""
        self.accelerator = accelerator
        encoded.refuse_without_gpu(self.decode, self._device_type())

    def prepare_data(self) -> None:
        """Look at every image once, on one process of a node; the others find the result kept."""
        self._open()

    def setup(self, stage: str | None = None) -> None:
        """Scan, check, divide and measure; does nothing the second time.

        Raises:
            ConfigError, DataError: see the class.
        """
        if self._parts:
            return
        source = self._open()
        self.class_names = list(source.class_names)
        self.fingerprint = source.fingerprint
        self.skipped = [source.item_name(item) for item in self.bad]
        parts = self._divide(source, self.bad)
        self.counts = {split: len(items) for split, items in parts.items()}
        self.missing_classes = missing_classes(source, parts, say=self.say)
        self.stats_ = self._measure(source, parts["train"])
        self.pixels = self._cached(source, parts)
        self._parts = parts
        self._choose_decoding(source)

    def train_dataloader(self) -> ImageLoader:
        """Shuffled and augmented; starts at ``position`` where that is set."""
        encoded.refuse_without_gpu(self.decode, self._device_type())
        dataset = self._of("train")
        if self.on_device is not None and not self._features:
            dataset = self.on_device
        ranks, rank = self._ranks()
        sampler = EpochSampler(dataset, seed=self.seed, num_replicas=ranks, rank=rank)
        if self.position is not None:
            epoch, batches = self.position
            sampler.start_at(epoch, batches * self.batch_size)
        return self._loader(dataset, sampler, drop_last=len(sampler) >= self.batch_size)

    def val_dataloader(self) -> ImageLoader:
        return self._loader(self._of("valid"))

    def test_dataloader(self) -> ImageLoader:
        """Raises ConfigError where there is no test split."""
        if not self.counts["test"]:
            raise ConfigError("there are no test images", key="data.splits.test",
                              fix="data.splits.test=0.1, or test=false")  # fmt: skip
        return self._loader(self._of("test"))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Images uint8, or still encoded, -> normalised float32, on the device where the labels are."""
        images, labels = batch
        if isinstance(images, EncodedBatch):
            assert self.on_device is not None
            images = self.on_device.decode(images, labels.device)
        if images.dtype != torch.uint8:
            return batch
        return normalise(images, self.stats_.mean, self.stats_.std), labels

    def dataset(self, split: str, *, augmented: bool | None = None) -> ImageDataset:
        """One split; ``augmented`` defaults to whether it is the training split."""
        if not self._parts:
            raise RuntimeError("setup() comes first")
        assert self._source is not None
        a, evaluation = self.augment, EvaluationTransform(self.resize, self.image_size)
        training = TrainingTransform(self.image_size, a.crop_scale, a.hflip, a.trivial_augment, evaluation)
        use_training = split == "train" if augmented is None else augmented
        transform = training if use_training else evaluation
        source: Images = self._source
        if self.pixels is not None:
            side = self.training_side if use_training else self.resize
            source = CachedSource(self._source, self.pixels, side)
        return ImageDataset(source, self._parts[split], transform, seed=self.seed)

    def use_features(self, tables: Tables) -> None:
        """Give features in the place of images from now on: float32 [views, images, D] by split."""
        labels = {split: torch.from_numpy(self.source.labels[items]) for split, items in self._parts.items()}
        self._features = {split: FeatureDataset(table, labels[split]) for split, table in tables.items()}

    def describe(self) -> dict[str, Any]:
        """What run.json's ``data`` holds; fits into JSON."""
        return description.describe(self)

    def transform_spec(self) -> dict[str, Any]:
        """What model.json's ``transform`` holds, for ``transforms.evaluation_transform``."""
        return description.transform_spec(self)

    def _open(self) -> Source:
        """The source, every item of it looked at."""
        if self._source is None and self.cache_uri is not None:
            sides = {self.resize, self.training_side}
            packed = open_packed(self.cache_uri, self.source_name, sides, self._plan)
            self.bad = judge(packed.check(), on_bad_image=self.on_bad_image, say=self.say)
            self._source = packed
        elif self._source is None:
            how: dict[str, Any] = {"max_pixels": self.max_pixels, "on_bad_image": self.on_bad_image}
            self._source, self.bad = open_source(self.source_name, self.root, say=self.say, **how)
        return self._source

    def _divide(self, source: Source, bad: Mapping[int, str]) -> dict[str, IntArray]:
        return divide(source, bad, self.splits, self.limit, seed=self.split_seed)

    def _plan(self, source: Source, parts: Mapping[str, IntArray] | None = None) -> Plan:
        parts = parts or self._divide(source, source.check())
        return plan(source, parts, evaluation=self.resize, training=self.training_side)

    def _measure(self, source: Source, train: IntArray) -> ChannelStats:
        stats, reason = measure(self.stats, source, train, Store(source.store(), self.say))
        value = {name: [round(number, 4) for number in three] for name, three in stats.as_dict().items()}
        self._choose("data.stats", value, reason)
        return stats

    def _cached(self, source: Source, parts: Mapping[str, IntArray]) -> Pixels | None:
        if isinstance(source, PackedSource):
            self._choose("data.cache", "disk", f"given by data.cache_uri; {source.path}")
            return source.pixels
        return open_pixels(
            self.cache, self.cache_dir, source, self._plan(source, parts),
            pack=lambda writer: pack(writer, source, self.bad),
            gpu=self._device_type() != "cpu", choose=self._choose, say=self.say,
        )  # fmt: skip

    def _choose_decoding(self, source: Source) -> None:
        if self.pixels is not None or not isinstance(source, FolderSource):
            return  # nothing is decoded while the run trains
        where, reason = encoded.choose(self.decode, self._device_type(), available_cores())
        self._choose(encoded.KEY, where, reason)
        self.on_device = EncodedDataset(self.dataset("train"), source) if where == "gpu" else None

    def _of(self, split: str) -> Split:
        return self._features.get(split) or self.dataset(split)

    def _loader(
        self, dataset: Split, sampler: Sampler[Any] | None = None, *, drop_last: bool = False
    ) -> ImageLoader:
        workers = 0 if isinstance(dataset, FeatureDataset) else self.workers()
        return make_loader(
            dataset, sampler, batch_size=self.batch_size, drop_last=drop_last, workers=workers,
            pinned=self.pinned, seed=self.seed,
        )  # fmt: skip
