"""The SageMaker SDK's own object for a tuning job: for notebooks and scripts that are written for it.

Nothing here is sent to create a job (docs/sagemaker-sdk.md says why). The SDK, seconds of import, is
loaded when `tuner` is called; its telemetry stays off unless the user's SDK config turns it on.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launchers.aws.clients import Clients, connect
from launchers.aws.failures import explained
from sweepmaker.config.errors import ConfigError

if TYPE_CHECKING:
    from sagemaker.train.tuner import HyperparameterTuner

_OPT_OUT = ("SageMaker", "PythonSDK", "Modules", "TelemetryOptOut")


def tuner(name: str, where: Clients | Mapping[str, Any]) -> HyperparameterTuner:
    """The SDK's ``HyperparameterTuner`` for a tuning job that exists.

    ``describe()``, ``best_training_job()``, ``wait()``, ``stop_tuning_job()`` and ``analytics()`` ask
    the endpoint of ``where`` with its credentials.

    Args:
        name: of the tuning job.
        where: clients, or a ``conf/where`` node to connect with; ``{}`` is the default profile.

    Raises:
        ConfigError: the SDK is not installed, or the job has several training definitions.
        UserError: AWS refused, has no such job, or could not be reached.
    """
    _check_installed()
    clients = where if isinstance(where, Clients) else connect(where)
    from sagemaker.core.resources import HyperParameterTuningJob

    session = _session(clients)
    with explained(clients.where):
        job = HyperParameterTuningJob.get(name, session=session.boto_session, region=clients.region)
    if _given(job.training_job_definition) is None:
        raise ConfigError(
            f"{name} has {len(_given(job.training_job_definitions) or ())} training definitions; "
            "the SDK's tuner can only be made for one",
            fix="describe_hyper_parameter_tuning_job of boto3 shows all of them",
        )
    made = _tuner(job, _trainer(job.training_job_definition, session))
    made.latest_tuning_job = job
    made._current_job_name = name
    return made


def _check_installed() -> None:
    try:
        import sagemaker.train.tuner  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"this needs version 3 of the SageMaker SDK, which can't be imported here ({error})",
            fix="pip install 'sagemaker>=3.27'",
        ) from error


def _session(clients: Clients) -> Any:
    """The SDK's session over our clients: same credentials, region, addresses, timeouts and retries."""
    from sagemaker.core.config import load_sagemaker_config
    from sagemaker.core.helper.session_helper import Session

    boto_session = copy.copy(clients._session)
    plain = boto_session.client
    # the SDK makes its clients without an endpoint; boto3's own resource() comes along here too
    elsewhere = clients.where.get("endpoint_url") if clients.where.get("name") == "embedded" else None

    def client(service: str, region_name: str | None = None, **settings: Any) -> Any:
        if service in ("sagemaker", "s3", "sts"):
            return getattr(clients, service)
        if elsewhere:  # or it would ask AWS
            settings["endpoint_url"] = elsewhere
        return plain(service, region_name or clients.region, **settings)

    boto_session.client = client
    boto_session._session.set_config_variable("region", clients.region)  # AWS_REGION, which boto3 ignores
    with explained(clients.where):
        return Session(
            boto_session=boto_session,
            default_bucket=clients.where.get("bucket"),
            sagemaker_config=_without_telemetry(load_sagemaker_config()),
        )


def _without_telemetry(config: Mapping[str, Any]) -> dict[str, Any]:
    """The user's SDK config, with telemetry off where it says nothing of it."""
    changed: dict[str, Any] = copy.deepcopy(dict(config))
    changed.setdefault("SchemaVersion", "1.0")
    node = changed
    for key in _OPT_OUT[:-1]:
        node = node.setdefault(key, {})
    node.setdefault(_OPT_OUT[-1], True)
    return changed


def _tuner(job: Any, trainer: Any) -> HyperparameterTuner:
    from sagemaker.train.tuner import HyperparameterTuner

    config = job.hyper_parameter_tuning_job_config
    limits = config.resource_limits
    objective = _given(config.hyper_parameter_tuning_job_objective)
    metrics = _given(job.training_job_definition.algorithm_specification.metric_definitions)
    made = HyperparameterTuner(
        trainer,
        objective_metric_name=objective.metric_name if objective else None,
        hyperparameter_ranges=_ranges(_given(config.parameter_ranges)),
        metric_definitions=[{"Name": one.name, "Regex": one.regex} for one in metrics or ()],
        strategy=config.strategy,
        objective_type=objective.type if objective else "Maximize",
        max_jobs=_given(limits.max_number_of_training_jobs),
        max_parallel_jobs=limits.max_parallel_training_jobs,
        max_runtime_in_seconds=_given(limits.max_runtime_in_seconds),
        warm_start_config=_given(job.warm_start_config),
        strategy_config=_given(config.strategy_config),
        completion_criteria_config=_given(config.tuning_job_completion_criteria),
        early_stopping_type=_given(config.training_job_early_stopping_type) or "Off",
        random_seed=_given(config.random_seed),
        autotune=_given(job.autotune) is not None,
    )
    machines = _given(job.training_job_definition.hyper_parameter_tuning_resource_config)
    if machines is not None and _given(machines.instance_configs):
        made.override_resource_config(machines.instance_configs)
    return made


def _ranges(ranges: Any) -> dict[str, Any]:
    from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

    made: dict[str, Any] = {}
    if ranges is None:
        return made
    for kind, number, given in (
        (ContinuousParameter, float, ranges.continuous_parameter_ranges),
        (IntegerParameter, int, ranges.integer_parameter_ranges),
    ):
        for one in _given(given) or ():
            scaling = _given(one.scaling_type) or "Auto"
            made[one.name] = kind(number(one.min_value), number(one.max_value), scaling)
    for one in _given(ranges.categorical_parameter_ranges) or ():
        made[one.name] = CategoricalParameter(list(one.values))
    return made


def _trainer(definition: Any, session: Any) -> Any:
    """The ``ModelTrainer`` of the trials, as far as it has a place for what the job was given."""
    from sagemaker.core.training.configs import CheckpointConfig, Compute, Networking, OutputDataConfig
    from sagemaker.train.model_trainer import Mode, ModelTrainer

    algorithm = definition.algorithm_specification
    compute = _fields(_machines(definition))
    spot = _given(definition.enable_managed_spot_training)
    trainer = ModelTrainer(
        # a trainer that is made for the cloud asks IAM about the role at once; this job has run with it
        training_mode=Mode.LOCAL_CONTAINER,
        sagemaker_session=session,
        role=definition.role_arn,
        training_image=_given(algorithm.training_image),
        algorithm_name=_given(algorithm.algorithm_name),
        training_input_mode=_given(algorithm.training_input_mode),
        compute=Compute(**compute, enable_managed_spot_training=spot),
        networking=Networking(
            **_fields(_given(definition.vpc_config)),
            enable_network_isolation=_given(definition.enable_network_isolation),
            enable_inter_container_traffic_encryption=_given(
                definition.enable_inter_container_traffic_encryption
            ),
        ),
        stopping_condition=_given(definition.stopping_condition),
        output_data_config=OutputDataConfig(**_fields(definition.output_data_config)),
        input_data_config=_given(definition.input_data_config),
        environment=_given(definition.environment) or {},
        hyperparameters=dict(_given(definition.static_hyper_parameters) or {}),
    )
    trainer.training_mode = Mode.SAGEMAKER_TRAINING_JOB
    if (checkpoints := _given(definition.checkpoint_config)) is not None:
        trainer.checkpoint_config = CheckpointConfig(**_fields(checkpoints))
    if (retry := _given(definition.retry_strategy)) is not None:
        trainer.with_retry_strategy(retry)
    return trainer


def _machines(definition: Any) -> Any:
    """The resource config, or the first choice of a list of machines."""
    if (single := _given(definition.resource_config)) is not None:
        return single
    several = definition.hyper_parameter_tuning_resource_config
    return (_given(several.instance_configs) or [several])[0]


def _fields(shape: Any) -> dict[str, Any]:
    """What of one of the SDK's shapes is set."""
    if shape is None:
        return {}
    return {name: value for name in type(shape).model_fields if _is_set(value := getattr(shape, name))}


def _given(value: Any) -> Any:
    """A value of the SDK's shapes, or None for its "not in the reply"."""
    return value if _is_set(value) else None


def _is_set(value: Any) -> bool:
    from sagemaker.core.utils.utils import Unassigned

    return value is not None and not isinstance(value, Unassigned)
