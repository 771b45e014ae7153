"""Train an image classifier: ``python train.py [+experiment=b2] [key=value ...]``; ``-m`` for several runs."""

import sys
from pathlib import Path

# The code of this checkout, also where another one is installed: a trial runs from its own bundle.
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

import hydra  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from sweepmaker.config import app  # noqa: E402


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    """One run; returns the best objective to Hydra's sweepers."""
    from sweepmaker.run.task import run

    return run(cfg)


if __name__ == "__main__":
    app.start(main)
