"""The best run answers requests: ``python deploy.py action=serve|predict|deploy|... run=...``."""

import sys
from pathlib import Path

# The code of this checkout, also where another one is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
if __name__ == "__main__":
    import sweepmaker.config.early  # noqa: F401

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sweepmaker.config import app


@hydra.main(version_base="1.3", config_path="conf", config_name="deploy")
def main(cfg: DictConfig) -> None:
    """One action; its result goes to stdout, everything else to stderr."""
    from sweepmaker.serving import task

    with app.in_our_words():
        if task.is_here(cfg):
            task.run(cfg)
        else:
            from launchers.endpoints import task as endpoints

            endpoints.run(cfg, list(HydraConfig.get().overrides.task))


def one() -> None:
    """Refuse a multirun before Hydra makes a folder for it."""
    app.refuse_multirun("does one thing at a time")
    main()


if __name__ == "__main__":
    app.start(one, prepare=None)
