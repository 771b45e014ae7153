"""Launches inside the test's process: the command line as a list, composed as launch.py composes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from launchers.jobs import launch

CHECKOUT = Path(__file__).resolve().parents[2]


def account(where: dict[str, Any]) -> list[str]:
    """The lines that lead to the server of the tests."""
    keys = ("region", "endpoint_url", "s3_endpoint_url", "role", "bucket", "bucket_owner")
    return [*(f"where.{key}='{where[key]}'" for key in keys), "wait=false", "job.include_untracked=true"]


def sweep(folder: Path, *lines: str) -> None:
    """``python launch.py -m LINES``; what is written goes below ``folder``."""
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(lines))
        settings = [str(one.input_line) for one in parsed if not one.is_sweep_override()]
        settings.append(f"hydra.sweep.dir='{folder}'")
        config = loader.load_configuration("launch", settings, RunMode.MULTIRUN, from_shell=False)
        launch.tuning_job(list(lines), _params(config), config, loader)


def _params(config: Any) -> dict[str, Any]:
    return dict(config.hydra.sweeper.params or {})
