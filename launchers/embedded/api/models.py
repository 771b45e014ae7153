"""Create, describe and delete models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launchers.embedded.api import resources
from launchers.embedded.api.addresses import check_address
from launchers.embedded.api.checks import check, not_here
from launchers.embedded.api.training import Body
from launchers.embedded.artifacts import Objects, split
from launchers.embedded.errors import ServiceError
from launchers.embedded.state import MODEL, PACKAGE, State

_ONLY_ON_AWS = {
    "AdditionalModelDataSources": "additional model data (AdditionalModelDataSources)",
    "MultiModelConfig": "multi-model endpoints (MultiModelConfig)",
    "InferenceSpecificationName": "a choice of inference specifications (InferenceSpecificationName)",
}


class Models:
    """The operations on models.

    Args:
        state: what is known.
        store: the S3 in which a model's data has to lie.
    """

    def __init__(self, state: State, store: Objects) -> None:
        self._state = state
        self._store = store

    def create(self, body: Body) -> Body:
        check("create_model", body)
        if body.get("InferenceExecutionConfig") is not None or len(body.get("Containers", [])) > 1:
            raise not_here("several containers of one model")
        given: Body = body.get("PrimaryContainer") or body["Containers"][0]
        for member, what in _ONLY_ON_AWS.items():
            if given.get(member) is not None:
                raise not_here(f"{what}; leave it out")
        if given.get("Mode") == "MultiModel":
            raise not_here("multi-model endpoints (Mode)")
        container = self._container(given)
        self._check_data(container)
        name = str(body["ModelName"])
        document = {**body, "EnableNetworkIsolation": bool(body.get("EnableNetworkIsolation", False))}
        job = resources.made(MODEL, name, document, {"container": container})
        job.document["ModelArn"] = job.arn
        resources.add(self._state, job, body)
        return {"ModelArn": job.arn}

    def describe(self, body: Body) -> Body:
        check("describe_model", body)
        job = resources.find(self._state, MODEL, str(body["ModelName"]))
        return resources.answer("DescribeModel", job.document)

    def delete(self, body: Body) -> Body:
        check("delete_model", body)
        self._state.delete(resources.find(self._state, MODEL, str(body["ModelName"])))
        return {}

    def _container(self, given: Body) -> Body:
        """The container itself, or the one that the model package stands for."""
        wanted = given.get("ModelPackageName")
        if wanted is None:
            return given
        package = self._state.get(PACKAGE, str(wanted).rpartition(":model-package/")[2])
        if package is None:
            raise ServiceError("ValidationException", f'Could not find model package "{wanted}".')
        if package.document.get("ModelApprovalStatus") != "Approved":
            raise ServiceError(
                "ValidationException",
                f"Model package {package.arn} is not approved: its ModelApprovalStatus has to be Approved.",
            )
        (container,) = package.document["InferenceSpecification"]["Containers"]
        return {
            **container,
            "Environment": {**container.get("Environment", {}), **given.get("Environment", {})},
        }

    def _check_data(self, container: Mapping[str, Any]) -> None:
        source = container.get("ModelDataSource", {}).get("S3DataSource")
        if source is None and container.get("ModelDataUrl") is None:
            raise not_here("an image that brings its model along; give ModelDataUrl")
        for member in ("ManifestS3Uri", "HubAccessConfig"):
            if source is not None and source.get(member) is not None:
                raise not_here(f"models of a hub ({member})")
        member, address = (
            ("S3Uri", source["S3Uri"]) if source else ("ModelDataUrl", container["ModelDataUrl"])
        )
        check_address(member, address)
        bucket, key = split(address)
        whole = source is not None and source["S3DataType"] == "S3Prefix"
        if not any(whole or name == key for name, _, _ in self._store.list(bucket, key)):
            raise ServiceError("ValidationException", f"Could not find model data at {address}.")
