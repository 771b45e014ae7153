"""The List operations: filters, sorting, pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from launchers.embedded.api.checks import check, not_here
from launchers.embedded.api.summaries import training_summary, trial_summary, tuning_summary
from launchers.embedded.api.training import Body
from launchers.embedded.api.tuning import described
from launchers.embedded.errors import ServiceError
from launchers.embedded.state import TRAINING, TUNING, Job, State

_PAGE = 10  # the service's default
_MOST = 2**31  # jobs; no listing of this server begins behind so many
_BY = {"Name": "name COLLATE NOCASE", "CreationTime": "created", "Status": "status"}


class Listings:
    """The List operations."""

    def __init__(self, state: State) -> None:
        self._state = state

    def training_jobs(self, body: Body) -> Body:
        check("list_training_jobs", body)
        for member in ("WarmPoolStatusEquals", "TrainingPlanArnEquals"):
            if body.get(member) is not None:
                raise not_here(f"warm pools and training plans ({member}); leave it out")
        jobs, token = page(self._state, TRAINING, body, default="CreationTime")
        return answered("TrainingJobSummaries", [training_summary(job) for job in jobs], token)

    def tuning_jobs(self, body: Body) -> Body:
        check("list_hyper_parameter_tuning_jobs", body)
        jobs, token = page(self._state, TUNING, body, default="Name")
        found = [tuning_summary(described(self._state, job)) for job in jobs]
        return answered("HyperParameterTuningJobSummaries", found, token)

    def trials(self, body: Body) -> Body:
        check("list_training_jobs_for_hyper_parameter_tuning_job", body)
        name = str(body["HyperParameterTuningJobName"])
        tuning = self._state.get(TUNING, name)
        if tuning is None:
            raise ServiceError(
                "ResourceNotFound", f"Amazon SageMaker can't find a tuning job with the name {name}."
            )
        jobs, token = page(self._state, TRAINING, body, default="Name", parent=tuning.name)
        return answered("TrainingJobSummaries", [trial_summary(job, tuning) for job in jobs], token)


def page(
    state: State,
    kind: str,
    body: Body,
    *,
    default: str,
    order: str = "Ascending",
    parent: str | None = None,
    more: Mapping[str, str] | None = None,
) -> tuple[list[Job], str | None]:
    """One page of a listing, and the token of the next.

    Args:
        state: what is known.
        kind: of what is listed.
        body: the request.
        default: for SortBy.
        order: for SortOrder, likewise.
        parent: only trials of this tuning job.
        more: further conditions in SQL, with a value for each.
    """
    conditions, values = _filters(body)
    if parent is not None:
        conditions.append("parent = ?")
        values.append(parent)
    for condition, value in (more or {}).items():
        conditions.append(condition)
        values.append(value)
    by = body.get("SortBy", default)
    if by == "FinalObjectiveMetricValue":
        conditions.append("objective IS NOT NULL")  # as the service does
        column = "objective"
    else:
        column = _BY[by]
    direction = "DESC" if body.get("SortOrder", order) == "Descending" else "ASC"
    limit = int(body.get("MaxResults", _PAGE))
    offset = _offset(body)
    found = state.page(
        kind,
        " AND ".join(conditions) or "1",
        values,
        f"{column} {direction}, rowid {direction}",
        limit=limit + 1,
        offset=offset,
    )
    token = _token(offset + limit, body) if len(found) > limit else None
    return found[:limit], token


def _filters(body: Body) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    for member, condition in (
        ("NameContains", "instr(lower(name), lower(?)) > 0"),
        ("StatusEquals", "status = ?"),
        ("CreationTimeAfter", "created > ?"),
        ("CreationTimeBefore", "created < ?"),
        ("LastModifiedTimeAfter", "modified > ?"),
        ("LastModifiedTimeBefore", "modified < ?"),
    ):
        if body.get(member) is not None:
            conditions.append(condition)
            values.append(body[member])
    return conditions, values


def _question(body: Body) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ("NextToken", "MaxResults")}


def _token(offset: int, body: Body) -> str:
    return base64.urlsafe_b64encode(json.dumps([offset, _question(body)], sort_keys=True).encode()).decode()


def _offset(body: Body) -> int:
    token = body.get("NextToken")
    if not token:
        return 0
    try:
        offset, question = json.loads(base64.urlsafe_b64decode(str(token)))
        if question == _question(body) and isinstance(offset, int) and 0 <= offset < _MOST:
            return offset
    except (ValueError, TypeError, RecursionError):
        pass
    raise ServiceError("ValidationException", "Invalid NextToken: it belongs to another listing.")


def answered(member: str, found: list[dict[str, Any]], token: str | None) -> Body:
    """The answer of a listing."""
    return {member: found} | ({"NextToken": token} if token else {})
