"""docs/sagemaker-sdk.md names every argument of version 2, and no key of ours that does not exist."""

from __future__ import annotations

import re

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tests.jobs.launching import CHECKOUT

PAGE = (CHECKOUT / "docs" / "sagemaker-sdk.md").read_text(encoding="utf-8")

# the signatures of sagemaker 2.257.7: PyTorch with Framework and EstimatorBase, and HyperparameterTuner
PYTORCH = """
entry_point framework_version py_version source_dir hyperparameters image_uri distribution compiler_config
training_recipe recipe_overrides role instance_count instance_type keep_alive_period_in_seconds volume_size
volume_kms_key max_run input_mode output_path output_kms_key base_job_name sagemaker_session tags subnets
security_group_ids model_uri model_channel_name metric_definitions encrypt_inter_container_traffic
use_spot_instances max_wait checkpoint_s3_uri checkpoint_local_path rules debugger_hook_config
tensorboard_output_config enable_sagemaker_metrics enable_network_isolation profiler_config disable_profiler
environment max_retry_attempts git_config container_log_level code_location dependencies instance_groups
training_repository_access_mode training_repository_credentials_provider_arn enable_infra_check
container_entry_point container_arguments disable_output_compression enable_remote_debug
enable_session_tag_chaining training_plan instance_placement_config
"""
TUNER = """
estimator objective_metric_name hyperparameter_ranges metric_definitions strategy objective_type max_jobs
max_parallel_jobs max_runtime_in_seconds tags base_tuning_job_name warm_start_config strategy_config
completion_criteria_config early_stopping_type estimator_name random_seed autotune
hyperparameters_to_keep_static
"""


def arguments(heading: str) -> list[str]:
    section = PAGE.split(f"\n## {heading}")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_every_argument_of_version_2_has_one_row() -> None:
    assert sorted(arguments("`PyTorch()` of version 2")) == sorted(PYTORCH.split())
    assert sorted(arguments("`HyperparameterTuner()` of version 2")) == sorted(TUNER.split())


def test_every_key_on_the_page_exists() -> None:
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        cfg = compose("launch")
    named = set(re.findall(r"`((?:where|job|debugger|objective|model|data)\.[a-z_0-9.]+)", PAGE))
    assert len(named) > 40
    nothing = object()
    assert [key for key in sorted(named) if OmegaConf.select(cfg, key, default=nothing) is nothing] == []
