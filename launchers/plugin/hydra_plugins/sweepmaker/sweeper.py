"""The sweeper that Hydra finds: it hands the sweep over and returns what came of it.

Hydra imports this file in every program that has it on its path, so nothing but Hydra is imported here.
"""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SageMakerSweeper(Sweeper):
    """One tuning job for one sweep.

    Args:
        params: keys and what to sweep them over, as on the command line, which wins.
    """

    def __init__(self, params: Any | None = None) -> None:
        self.params = params
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        from launchers.jobs import launch

        assert self.config is not None and self.hydra_context is not None
        return launch.tuning_job(
            arguments, dict(self.params or {}), self.config, self.hydra_context.config_loader
        )
