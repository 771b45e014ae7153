"""Train an image classifier: ``python train.py [+experiment=b2] [key=value ...]``; ``-m`` for several."""

import sys
from pathlib import Path

# The code of this checkout, also where another one is installed: a trial runs from its own bundle.
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
if __name__ == "__main__":
    import sweepmaker.config.early  # noqa: F401

import hydra
from omegaconf import DictConfig

from sweepmaker.config import app


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    """One run; returns the best objective to Hydra's sweepers."""
    from sweepmaker.run.task import run

    return run(cfg)


if __name__ == "__main__":
    app.start(main)
