"""What a script finds in its environment and on its command line, as AWS's sagemaker-training puts it there.

Written after the behaviour of sagemaker-training 5.1.4 (https://github.com/aws/sagemaker-training-toolkit)
and sagemaker-pytorch-training 3.0.0; a test compares both ways for one script.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FRAMEWORK = "sagemaker_pytorch_container.training:main"
PROGRAM = "sagemaker_program"
SUBMITTED = "sagemaker_submit_directory"

_PREFIX = "sagemaker_"
_KNOWN = (
    PROGRAM,
    SUBMITTED,
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "default_user_module_name",
    "_tuning_objective_metric",
    "sagemaker_s3_output",
)
_DISTRIBUTED = (
    "sagemaker_mpi_enabled",
    "sagemaker_parameter_server_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
    "sagemaker_multi_worker_mirrored_strategy_enabled",
    "sagemaker_torch_distributed_enabled",
)
_INFO = 20  # logging.INFO


def decoded(hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Each value as JSON, or as it is where it is none."""
    return {key: _decoded(value) for key, value in hyperparameters.items()}


def program(hyperparameters: Mapping[str, str], environment: Mapping[str, str]) -> str | None:
    """The script that the job names; None where it names none."""
    found = environment.get(PROGRAM.upper()) or _decoded(hyperparameters.get(PROGRAM))
    return None if found is None else str(found)


def arguments(hyperparameters: Mapping[str, str]) -> list[str]:
    """``--key value`` for what is the user's, ``-k value`` for keys of one letter."""
    own = _split(decoded(hyperparameters))[0]
    found: list[str] = []
    for key in sorted(own):
        value = own[key]
        if isinstance(value, dict):
            text = ",".join(f"{name}={inner}" for name, inner in sorted(value.items()))
        else:
            text = "" if value is None else str(value)
        found += [("--" if len(key) > 1 else "-") + key if key else "", text]
    return found


def variables(
    base: str,
    config: Path,
    environment: Mapping[str, str],
    *,
    cpus: int,
    gpus: int,
) -> dict[str, str]:
    """What the toolkit adds to a script's environment.

    Args:
        base: ``/opt/ml`` as the script sees it.
        config: the folder ``input/config``, as this process sees it.
        environment: of the job.
        cpus: for SM_NUM_CPUS.
        gpus: for SM_NUM_GPUS.
    """
    sent = _json(config / "hyperparameters.json")
    known = _known(base, sent, _json(config / "resourceconfig.json"), environment, cpus, gpus)
    known["input_data_config"] = _json(config / "inputdataconfig.json")
    known["channel_input_dirs"] = {name: f"{base}/input/data/{name}" for name in known["input_data_config"]}
    shown = {ours: known[theirs] for theirs, ours in _SHOWN.items()}
    shown |= {"channels": sorted(known["channel_input_dirs"]), "user_args": arguments(sent)}
    shown["training_env"] = known
    shown |= {f"channel_{name}": path for name, path in known["channel_input_dirs"].items()}
    shown |= {f"hp_{key}": value for key, value in known["hyperparameters"].items()}
    found = {f"SM_{name.upper()}": _text(value) for name, value in shown.items()}
    everything = decoded(sent)
    return found | {
        "CURRENT_HOST": known["current_host"],
        "SAGEMAKER_JOB_NAME": str(everything.get("sagemaker_job_name", "")),
        "SAGEMAKER_REGION": str(
            everything.get("sagemaker_region") or environment.get("AWS_DEFAULT_REGION", "")
        ),
        "MASTER_ADDR": known["master_hostname"],
        "MASTER_PORT": "7777",
        "NCCL_SOCKET_IFNAME": known["network_interface_name"],
        "NCCL_IB_DISABLE": "1",
        "NCCL_DEBUG": "WARN",
    }


# name in SM_TRAINING_ENV -> name of the variable, where one thing is shown in both
_SHOWN = {
    "hosts": "hosts",
    "network_interface_name": "network_interface_name",
    "hyperparameters": "hps",
    "user_entry_point": "user_entry_point",
    "additional_framework_parameters": "framework_params",
    "resource_config": "resource_config",
    "input_data_config": "input_data_config",
    "output_data_dir": "output_data_dir",
    "current_host": "current_host",
    "current_instance_type": "current_instance_type",
    "current_instance_group": "current_instance_group",
    "current_instance_group_hosts": "current_instance_group_hosts",
    "instance_groups": "instance_groups",
    "instance_groups_dict": "instance_groups_dict",
    "distribution_instance_groups": "distribution_instance_groups",
    "is_hetero": "is_hetero",
    "module_name": "module_name",
    "log_level": "log_level",
    "framework_module": "framework_module",
    "input_dir": "input_dir",
    "input_config_dir": "input_config_dir",
    "output_dir": "output_dir",
    "num_cpus": "num_cpus",
    "num_gpus": "num_gpus",
    "num_neurons": "num_neurons",
    "model_dir": "model_dir",
    "module_dir": "module_dir",
    "output_intermediate_dir": "output_intermediate_dir",
}


def _known(
    base: str,
    sent: Mapping[str, str],
    resources: Mapping[str, Any],
    environment: Mapping[str, str],
    cpus: int,
    gpus: int,
) -> dict[str, Any]:
    everything = decoded(sent)
    own, framework = _split(everything)
    script = program(sent, environment)
    host = resources["current_host"]
    group = resources.get("current_group_name", "homogeneousCluster")
    groups = {one["instance_group_name"]: one for one in resources.get("instance_groups", [])}
    distributed = framework.get(
        "sagemaker_distribution_instance_groups",
        [group] if any(framework.get(k) for k in _DISTRIBUTED) else [],
    )
    their_hosts = [name for key, one in groups.items() if key in distributed for name in one["hosts"]]
    first = (their_hosts or resources["hosts"])[0]
    return {
        "additional_framework_parameters": framework,
        "current_host": host,
        "current_instance_group": group,
        "current_instance_group_hosts": groups[group]["hosts"] if group in groups else [],
        "current_instance_type": resources.get("current_instance_type", "local"),
        "distribution_hosts": their_hosts,
        "distribution_instance_groups": distributed,
        "framework_module": FRAMEWORK,
        "hosts": resources["hosts"],
        "hyperparameters": own,
        "input_config_dir": f"{base}/input/config",
        "input_dir": f"{base}/input",
        "instance_groups": list(groups),
        "instance_groups_dict": groups,
        "is_hetero": len(groups) > 1,
        "is_master": host == first,
        "is_modelparallel_enabled": None,
        "is_smddpmprun_installed": False,
        "is_smddprun_installed": False,
        "job_name": environment.get("TRAINING_JOB_NAME"),
        "log_level": everything.get("sagemaker_container_log_level", _INFO),
        "master_hostname": first,
        "model_dir": f"{base}/model",
        "module_dir": str(everything.get(SUBMITTED, f"{base}/code")),
        "module_name": script.removesuffix(".py") if script else script,
        "network_interface_name": resources.get("network_interface_name", "eth0"),
        "num_cpus": cpus,
        "num_gpus": gpus,
        "num_neurons": 0,
        "output_data_dir": f"{base}/output/data",
        "output_dir": f"{base}/output",
        "output_intermediate_dir": f"{base}/output/intermediate",
        "resource_config": resources,
        "topology": resources.get("topology", []),
        "user_entry_point": script,
    }


def _split(everything: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the user's own, what is for a framework)"""
    own = {k: v for k, v in everything.items() if k not in _KNOWN and not k.startswith(_PREFIX)}
    framework = {k: v for k, v in everything.items() if k not in _KNOWN and k.startswith(_PREFIX)}
    return own, framework


def _decoded(value: Any) -> Any:
    try:
        return json.loads(value)
    except (ValueError, TypeError):
        return value


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
