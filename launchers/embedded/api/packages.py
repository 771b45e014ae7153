"""Model packages: versions of a group, each waiting for approval until somebody gives it."""

from __future__ import annotations

from launchers.embedded.api import resources
from launchers.embedded.api.checks import check, not_here
from launchers.embedded.api.training import Body
from launchers.embedded.errors import ServiceError
from launchers.embedded.state import GROUP, PACKAGE, Job, State

_PENDING = "PendingManualApproval"
_CHANGED = ("ModelApprovalStatus", "ApprovalDescription")
_ONLY_ON_AWS = (
    "SourceAlgorithmSpecification",
    "SourceUri",
    "ValidationSpecification",
    "CertifyForMarketplace",
)


class Packages:
    """The operations on groups of model packages, and on their versions."""

    def __init__(self, state: State) -> None:
        self._state = state

    def create_group(self, body: Body) -> Body:
        check("create_model_package_group", body)
        name = str(body["ModelPackageGroupName"])
        job = resources.made(GROUP, name, {**body, "CreatedBy": {}}, {"versions": 0})
        job.document |= {"ModelPackageGroupArn": job.arn, "ModelPackageGroupStatus": "Completed"}
        resources.add(self._state, job, body)
        return {"ModelPackageGroupArn": job.arn}

    def describe_group(self, body: Body) -> Body:
        check("describe_model_package_group", body)
        return resources.answer("DescribeModelPackageGroup", self._group(body).document)

    def delete_group(self, body: Body) -> Body:
        check("delete_model_package_group", body)
        group = self._group(body)
        with self._state.transaction():
            if any(one.private["group"] == group.name for one in self._state.jobs(PACKAGE)):
                raise ServiceError(
                    "ConflictException", f"The model package group {group.arn} still has model packages."
                )
            self._state.delete(group)
        return {}

    def create(self, body: Body) -> Body:
        check("create_model_package", body)
        if body.get("ModelPackageName") is not None:
            raise not_here("model packages without a group; give ModelPackageGroupName")
        for member in _ONLY_ON_AWS:
            if body.get(member):
                raise not_here(f"{member} of model packages; leave it out")
        if len(body["InferenceSpecification"]["Containers"]) > 1:
            raise not_here("several containers of one model")
        with self._state.transaction():
            group = self._group(body)
            with self._state.change(GROUP, group.name) as changed:
                changed.private["versions"] += 1
                version = changed.private["versions"]
            job = resources.made(
                PACKAGE,
                f"{group.name}/{version}",
                {key: value for key, value in body.items() if key != "ClientToken"},
                {"group": group.name},
            )
            job.document |= {
                "ModelPackageName": group.name,
                "ModelPackageGroupName": group.name,
                "ModelPackageVersion": version,
                "ModelPackageArn": job.arn,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
                "ModelApprovalStatus": body.get("ModelApprovalStatus", _PENDING),
            }
            resources.add(self._state, job, {})
        return {"ModelPackageArn": job.arn}

    def describe(self, body: Body) -> Body:
        check("describe_model_package", body)
        return resources.answer("DescribeModelPackage", self._package(body["ModelPackageName"]).document)

    def update(self, body: Body) -> Body:
        check("update_model_package", body)
        package = self._package(body["ModelPackageArn"])
        known = {"ModelPackageArn", "ClientToken", "CustomerMetadataProperties", *_CHANGED}
        if other := sorted(set(body) - known - {"CustomerMetadataPropertiesToRemove"}):
            raise not_here(f"a change of {other[0]}")
        with self._state.change(PACKAGE, package.name) as changed:
            changed.document |= {key: body[key] for key in _CHANGED if key in body}
            properties = dict(changed.document.get("CustomerMetadataProperties", {}))
            properties |= body.get("CustomerMetadataProperties", {})
            for key in body.get("CustomerMetadataPropertiesToRemove", []):
                properties.pop(key, None)
            changed.document["CustomerMetadataProperties"] = properties
        return {"ModelPackageArn": package.arn}

    def delete(self, body: Body) -> Body:
        check("delete_model_package", body)
        self._state.delete(self._package(body["ModelPackageName"]))
        return {}

    def _group(self, body: Body) -> Job:
        name = str(body["ModelPackageGroupName"]).rpartition(":model-package-group/")[2]
        found = self._state.get(GROUP, name)
        if found is None:
            raise ServiceError("ValidationException", f"Model Package Group {name} does not exist.")
        return found

    def _package(self, given: object) -> Job:
        found = self._state.get(PACKAGE, str(given).rpartition(":model-package/")[2])
        if found is None:
            raise ServiceError("ValidationException", f"ModelPackage {given} does not exist.")
        return found
