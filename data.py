"""Look at images, measure, decode, upload them: ``python data.py action=check|stats|cache|upload``."""

import json
import sys
from pathlib import Path

# The code of this checkout, also where another one is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
if __name__ == "__main__":
    import sweepmaker.config.early  # noqa: F401

import hydra
from omegaconf import DictConfig

from sweepmaker.config import app
from sweepmaker.config.errors import ConfigError, UserError


@hydra.main(version_base="1.3", config_path="conf", config_name="data")
def main(cfg: DictConfig) -> None:
    """One action; its result is JSON on stdout, everything else goes to stderr."""
    from launchers.jobs import data_actions

    try:
        result = data_actions.run(cfg)
        print(json.dumps(result, indent=2, ensure_ascii=False), flush=True)
        data_actions.judge(result, cfg)
    except UserError as error:  # Hydra would add a line of its own
        app.report(error)
        raise SystemExit(error.exit_code) from None


def one() -> None:
    """Refuse a multirun before Hydra makes a folder for it."""
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        raise ConfigError("data.py does one thing at a time, so it takes no -m", fix="leave -m out")
    main()


if __name__ == "__main__":
    app.start(one)
