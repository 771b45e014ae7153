"""The List operations of what serves a model."""

from __future__ import annotations

from launchers.embedded.api.checks import check
from launchers.embedded.api.listing import answered, page
from launchers.embedded.api.training import Body
from launchers.embedded.state import CONFIG, ENDPOINT, GROUP, MODEL, PACKAGE, Job, State

_SUMMARY = {
    MODEL: ("ModelName", "ModelArn", "CreationTime"),
    CONFIG: ("EndpointConfigName", "EndpointConfigArn", "CreationTime"),
    ENDPOINT: ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus"),
    GROUP: (
        "ModelPackageGroupName", "ModelPackageGroupArn", "ModelPackageGroupDescription", "CreationTime",
        "ModelPackageGroupStatus",
    ),
    PACKAGE: (
        "ModelPackageName", "ModelPackageGroupName", "ModelPackageVersion", "ModelPackageArn",
        "ModelPackageDescription", "CreationTime", "ModelPackageStatus", "ModelApprovalStatus",
    ),
}  # fmt: skip
_GROUP = "json_extract(document, '$.ModelPackageGroupName') = ? COLLATE NOCASE"
_APPROVAL = "json_extract(document, '$.ModelApprovalStatus') = ?"


class ResourceListings:
    """The List operations."""

    def __init__(self, state: State) -> None:
        self._state = state

    def models(self, body: Body) -> Body:
        return self._listed("list_models", MODEL, body, "Models")

    def configs(self, body: Body) -> Body:
        return self._listed("list_endpoint_configs", CONFIG, body, "EndpointConfigs")

    def endpoints(self, body: Body) -> Body:
        return self._listed("list_endpoints", ENDPOINT, body, "Endpoints")

    def groups(self, body: Body) -> Body:
        operation = "list_model_package_groups"
        return self._listed(operation, GROUP, body, "ModelPackageGroupSummaryList", order="Ascending")

    def packages(self, body: Body) -> Body:
        check("list_model_packages", body)
        group = body.get("ModelPackageGroupName")
        if group is None and body.get("ModelPackageType", "Unversioned") == "Unversioned":
            return answered("ModelPackageSummaryList", [], None)  # each one here is a version of a group
        more = {} if group is None else {_GROUP: str(group).rpartition(":model-package-group/")[2]}
        if (status := body.get("ModelApprovalStatus")) is not None:
            more[_APPROVAL] = str(status)
        found, token = page(self._state, PACKAGE, body, default="CreationTime", more=more)
        return answered("ModelPackageSummaryList", [_summary(job) for job in found], token)

    def _listed(self, operation: str, kind: str, body: Body, member: str, order: str = "Descending") -> Body:
        check(operation, body)
        found, token = page(self._state, kind, body, default="CreationTime", order=order)
        return answered(member, [_summary(job) for job in found], token)


def _summary(job: Job) -> Body:
    return {key: job.document[key] for key in _SUMMARY[job.kind] if key in job.document}
