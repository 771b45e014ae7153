"""A small HTTP server for a model artifact: SageMaker's two paths, and the same on a laptop.

A front (this process, without torch) speaks HTTP and hands requests to workers, processes with one model
each; a nursery forks these. `serve` is all that others call.
"""

from __future__ import annotations

from pathlib import Path

from sweepmaker.config.errors import ConfigError
from sweepmaker.serving.server.settings import Settings
from sweepmaker.serving.settings import Options


def serve(folder: Path, options: Options) -> None:
    """Serve the artifact in ``folder`` until SIGTERM or SIGINT, as ``deploy.py action=serve`` does.

    Raises:
        ConfigError: a package or the address is missing, or a setting does not fit the model.
        UserError: the model cannot be loaded.
    """
    run(Settings.of(folder, options))


def run(settings: Settings) -> None:
    """As `serve`, with all settings."""
    try:
        from sweepmaker.serving.server import life  # late: it needs what only serving needs
    except ModuleNotFoundError as error:
        raise ConfigError(f"the package {error.name} is missing", fix="pip install -e '.[serve]'") from error
    life.run(settings)
