"""The LightningModule, the networks with their heads, and where the first weights come from.

Names are loaded on first use: a server rebuilds a network and has no use for Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweepmaker.models.classifier import Classifier
    from sweepmaker.models.networks import build_network

__all__ = ["Classifier", "build_network"]


def __getattr__(name: str) -> Any:
    if name == "Classifier":
        from sweepmaker.models.classifier import Classifier

        return Classifier
    if name == "build_network":
        from sweepmaker.models.networks import build_network

        return build_network
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
