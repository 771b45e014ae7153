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
from sweepmaker.config.errors import ConfigError, UserError


@hydra.main(version_base="1.3", config_path="conf", config_name="deploy")
def main(cfg: DictConfig) -> None:
    """One action; its result goes to stdout, everything else to stderr."""
    from sweepmaker.serving import task

    try:
        if task.is_here(cfg):
            task.run(cfg)
        else:
            from launchers.endpoints import task as endpoints

            endpoints.run(cfg, list(HydraConfig.get().overrides.task))
    except UserError as error:  # Hydra would add a line of its own
        app.report(error)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        raise SystemExit(app.unheard()) from None


def one() -> None:
    """Refuse a multirun before Hydra makes a folder for it."""
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        raise ConfigError("deploy.py does one thing at a time, so it takes no -m", fix="leave -m out")
    main()


if __name__ == "__main__":
    app.start(one, prepare=None)
