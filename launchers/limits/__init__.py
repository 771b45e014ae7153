"""What the service would refuse, found before anything is sent.

botocore checks only required members, types and minimums. Here a request is held against the whole
service model (`model`) and against the rules that stand only in prose (`tuning`, `training`, `hosting`).
Knows requests only: no config key, no client, no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from launchers.limits import hosting, model
from launchers.limits.at import At, Violation
from launchers.limits.resources import has_gpu, has_local_storage
from launchers.limits.secrets import take_out
from launchers.limits.training import violations as of_training
from launchers.limits.tuning import violations as of_tuning

__all__ = ["Violation", "has_gpu", "has_local_storage", "violations"]

_PROSE: dict[str, Callable[[At], Iterator[Violation]]] = {
    "create_hyper_parameter_tuning_job": of_tuning,
    "create_training_job": of_training,
    "create_model": hosting.of_model,
    "create_endpoint_config": hosting.of_endpoint_config,
    "create_endpoint": hosting.of_endpoint,
    "create_model_package_group": hosting.of_model_package_group,
    "create_model_package": hosting.of_model_package,
}


def violations(operation: str, request: Mapping[str, Any]) -> list[Violation]:
    """Everything in ``request`` that SageMaker would refuse; an empty list for a good one.

    Args:
        operation: as boto3 names the method: ``create_hyper_parameter_tuning_job``.
        request: the method's arguments.

    Raises:
        ValueError: SageMaker has no such operation.
    """
    shape = model.input_shape(operation)
    clean, found = take_out(request)
    hidden = {violation.path for violation in found}
    others = list(model.violations(shape, clean))
    if operation in _PROSE:
        others += _PROSE[operation](At(clean))
    # what stands in the place of a secret is not worth a word
    return found + [violation for violation in others if violation.path not in hidden]
