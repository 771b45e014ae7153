"""Every run side by side: ``python compare.py runs=multirun/... [best=true] [html=compare.html]``."""

import sys
from pathlib import Path

# The code of this checkout, also where another one is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
if __name__ == "__main__":
    import sweepmaker.config.early  # noqa: F401

import hydra
from omegaconf import DictConfig

from sweepmaker.config import app


@hydra.main(version_base="1.3", config_path="conf", config_name="compare")
def main(cfg: DictConfig) -> None:
    """One action; its result goes to stdout, everything else to stderr."""
    from sweepmaker.compare import task

    with app.in_our_words():
        task.run(cfg)


def one() -> None:
    """Refuse a multirun before Hydra makes a folder for it."""
    app.refuse_multirun("looks at many runs at once", "leave -m out; several folders: 'runs=[FOLDER,FOLDER]'")
    main()


if __name__ == "__main__":
    app.start(one, prepare=None)
