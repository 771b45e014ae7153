"""Trials started by AWS's own sagemaker-training, as its PyTorch images do it.

The toolkit lives in an environment of its own and finds ``/opt/ml`` in a private namespace or, where
there is none, through SAGEMAKER_BASE_DIR. It would download ``sagemaker_submit_directory`` and install a
``requirements.txt`` (or ``setup.py``) in it with pip into that environment, for every trial anew: the
code is therefore unpacked beforehand (the toolkit leaves a filled ``/opt/ml/code`` alone) and these two
files are renamed, which the log tells. As on AWS, no SIGTERM reaches the script: what is to survive an
interruption is a checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from launchers.embedded.runtimes import linux
from launchers.embedded.runtimes.spawn import CHECKOUT
from launchers.embedded.runtimes.starter import Starter
from sweepmaker.config.errors import ConfigError


class Toolkit(Starter):
    """
    Args:
        root: of the server.
        interpreter: of the environment with sagemaker-training; None: ``.venv-toolkit`` of this checkout.

    Raises:
        ConfigError: the toolkit is not there.
    """

    name = "toolkit"

    def __init__(self, root: Path, interpreter: Path | None = None) -> None:
        interpreter = interpreter or CHECKOUT / ".venv-toolkit" / "bin" / "python"
        if not linux.HERE:
            raise ConfigError("sagemaker-training needs Linux", key="runtime", allowed="auto | fork")
        if not (interpreter.parent / "train").is_file():
            raise ConfigError(
                f"{interpreter.parent / 'train'} is missing: sagemaker-training is not installed there",
                key="toolkit_python", fix="make toolkit",
            )  # fmt: skip
        super().__init__(root, interpreter.absolute())
