"""Send a job to SageMaker: ``python launch.py [-m] [+experiment=b2] [key=value ...] [where=embedded]``."""

import gc
import sys
from pathlib import Path

# The code of this checkout and its Hydra plugin, also where another one is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent / "launchers" / "plugin"))
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
if __name__ == "__main__":
    import sweepmaker.config.early  # noqa: F401

import hydra
from omegaconf import DictConfig

from sweepmaker.config import app


@hydra.main(version_base="1.3", config_path="conf", config_name="launch")
def main(cfg: DictConfig) -> None:
    """One training job; with ``-m`` the sweeper of conf/hydra/sweeper makes one tuning job."""
    from launchers.jobs import launch

    launch.training_job(cfg)


if __name__ == "__main__":
    gc.disable()  # a second of work: looking for garbage is a tenth of it
    app.start(main, prepare=None)  # here resume= is about the job
