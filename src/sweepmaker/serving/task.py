"""What ``deploy.py`` does on this machine: serve, predict."""

from __future__ import annotations

from difflib import get_close_matches

from omegaconf import DictConfig

from sweepmaker.config.errors import ConfigError
from sweepmaker.serving import find, settings


def is_here(cfg: DictConfig) -> bool:
    """Whether ``cfg.action`` is done on this machine; the others are about endpoints.

    Raises:
        ConfigError: there is no such action.
    """
    actions = (*settings.HERE, *settings.ENDPOINTS)
    if cfg.action not in actions:
        near = get_close_matches(str(cfg.action), actions, n=1)
        raise ConfigError(f"{cfg.action!r} is unknown", key="action", allowed=", ".join(actions),
                          fix=f"action={near[0]}" if near else None)  # fmt: skip
    return cfg.action in settings.HERE


def run(cfg: DictConfig) -> None:
    """Do what ``cfg.action`` says.

    Raises:
        ConfigError: a wrong key or value, no such run.
        UserError: the model is broken, or the result cannot be written.
    """
    options = settings.options(cfg)
    folder = find.model_folder(options)
    if options.action == "serve":
        from sweepmaker.serving import server

        server.serve(folder, options)
        return
    from sweepmaker.serving import predict

    predict.write(folder, options)
