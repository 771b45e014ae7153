"""Data sets, decoding, transforms and statistics; ``ImageDataModule`` is what a config names.

It is loaded on first use: a server decodes and transforms images, and has no use for Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweepmaker.data.datamodule import ImageDataModule

__all__ = ["ImageDataModule"]


def __getattr__(name: str) -> Any:
    if name == "ImageDataModule":
        from sweepmaker.data.datamodule import ImageDataModule

        return ImageDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
