"""Data sets, decoding, transforms and statistics; ``ImageDataModule`` is what a config names."""

from sweepmaker.data.datamodule import ImageDataModule

__all__ = ["ImageDataModule"]
