"""Which operation of the API is answered by what."""

from __future__ import annotations

from collections.abc import Callable

from launchers.embedded.api.checks import check
from launchers.embedded.api.listing import Listings
from launchers.embedded.api.training import Body, TrainingJobs, Workers, tags_of
from launchers.embedded.api.tuning import TuningJobs
from launchers.embedded.errors import ServiceError
from launchers.embedded.state import State

_MOST_TAGS = 50  # Tagging AWS resources, user guide


class Api:
    """Answers SageMaker's operations.

    Args:
        state: what is known.
        workers: what carries jobs out.
        before: called with the operation's name before each call; may refuse it.
    """

    def __init__(self, state: State, workers: Workers, before: Callable[[str], None] | None = None) -> None:
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


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
