"""Which operation of the API is answered by what."""

from __future__ import annotations

from collections.abc import Callable

from launchers.embedded.api.checks import check
from launchers.embedded.api.endpoints import EndpointConfigs, Endpoints, Hosts
from launchers.embedded.api.listing import Listings
from launchers.embedded.api.models import Models
from launchers.embedded.api.packages import Packages
from launchers.embedded.api.resource_listing import ResourceListings
from launchers.embedded.api.training import Body, TrainingJobs, Workers, tags_of
from launchers.embedded.api.tuning import TuningJobs
from launchers.embedded.artifacts import Objects
from launchers.embedded.errors import ServiceError
from launchers.embedded.state import State

_MOST_TAGS = 50  # Tagging AWS resources, user guide


class Api:
    """Answers SageMaker's operations.

    Args:
        state: what is known.
        workers: what carries jobs out.
        hosts: what runs the processes behind endpoints.
        store: the S3 that their models come from.
        before: called with the operation's name before each call; may refuse it.
    """

    def __init__(
        self,
        state: State,
        workers: Workers,
        hosts: Hosts,
        store: Objects,
        before: Callable[[str], None] | None = None,
    ) -> None:
        self._state = state
        self._before = before
        training, tuning, lists = TrainingJobs(state, workers), TuningJobs(state, workers), Listings(state)
        self._operations: dict[str, Callable[[Body], Body]] = {
            "CreateTrainingJob": training.create,
            "DescribeTrainingJob": training.describe,
            "StopTrainingJob": training.stop,
            "DeleteTrainingJob": training.delete,
            "ListTrainingJobs": lists.training_jobs,
            "CreateHyperParameterTuningJob": tuning.create,
            "DescribeHyperParameterTuningJob": tuning.describe,
            "StopHyperParameterTuningJob": tuning.stop,
            "DeleteHyperParameterTuningJob": tuning.delete,
            "ListHyperParameterTuningJobs": lists.tuning_jobs,
            "ListTrainingJobsForHyperParameterTuningJob": lists.trials,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            **_of_hosting(state, store, hosts),
        }

    def call(self, operation: str, body: Body) -> Body:
        """One call.

        Raises:
            ServiceError: what the client did wrong, or the operation is not there.
        """
        if operation not in self._operations:
            known = ", ".join(sorted(self._operations))
            raise ServiceError(
                "UnknownOperationException",
                f"The embedded SageMaker does not have {operation[:80]}. It has: {known}.",
            )
        if self._before is not None:
            self._before(operation)
        return self._operations[operation](body)

    def _add_tags(self, body: Body) -> Body:
        check("add_tags", body)
        arn = self._known(body)
        with self._state.transaction():
            if len(self._state.tags(arn) | tags_of(body)) > _MOST_TAGS:
                raise ServiceError(
                    "ValidationException", f"More than {_MOST_TAGS} tags on one resource: {arn}"
                )
            self._state.tag(arn, tags_of(body))
        return {"Tags": _listed(self._state.tags(arn))}

    def _list_tags(self, body: Body) -> Body:
        check("list_tags", body)
        return {"Tags": _listed(self._state.tags(self._known(body)))}

    def _known(self, body: Body) -> str:
        arn = str(body["ResourceArn"])
        if self._state.by_arn(arn) is None:
            raise ServiceError("ValidationException", f"Could not find resource: {arn}")
        return arn


def _of_hosting(state: State, store: Objects, hosts: Hosts) -> dict[str, Callable[[Body], Body]]:
    models, configs, endpoints = Models(state, store), EndpointConfigs(state), Endpoints(state, hosts)
    packages, lists = Packages(state), ResourceListings(state)
    return {
        "CreateModel": models.create,
        "DescribeModel": models.describe,
        "DeleteModel": models.delete,
        "ListModels": lists.models,
        "CreateEndpointConfig": configs.create,
        "DescribeEndpointConfig": configs.describe,
        "DeleteEndpointConfig": configs.delete,
        "ListEndpointConfigs": lists.configs,
        "CreateEndpoint": endpoints.create,
        "DescribeEndpoint": endpoints.describe,
        "UpdateEndpoint": endpoints.update,
        "DeleteEndpoint": endpoints.delete,
        "ListEndpoints": lists.endpoints,
        "CreateModelPackageGroup": packages.create_group,
        "DescribeModelPackageGroup": packages.describe_group,
        "DeleteModelPackageGroup": packages.delete_group,
        "ListModelPackageGroups": lists.groups,
        "CreateModelPackage": packages.create,
        "DescribeModelPackage": packages.describe,
        "UpdateModelPackage": packages.update,
        "DeleteModelPackage": packages.delete,
        "ListModelPackages": lists.packages,
    }


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
