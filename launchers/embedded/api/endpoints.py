"""Create, describe, update and delete endpoint configs and endpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from launchers.embedded.api import resources
from launchers.embedded.api.checks import check, not_here
from launchers.embedded.api.training import Body
from launchers.embedded.errors import ServiceError
from launchers.embedded.state import CONFIG, ENDPOINT, MODEL, Job, State

IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "Deleting")
_ONLY_ON_AWS = {
    "ShadowProductionVariants": "shadow variants",
    "DataCaptureConfig": "data capture",
    "AsyncInferenceConfig": "asynchronous inference",
    "ExplainerConfig": "explainers",
    "CrossRegionTrafficConfig": "other regions",
}
_ONLY_ON_AWS_VARIANT = {
    "InstancePools": "pools of instances",
    "ManagedInstanceScaling": "scaling",
    "CoreDumpConfig": "core dumps",
    "CapacityReservationConfig": "capacity reservations",
    "AcceleratorPartitionLayouts": "partitions of accelerators",
    "EnableSSMAccess": "a way into the container",
}


class Hosts(Protocol):
    """What runs the processes behind endpoints."""

    def wake(self, name: str) -> None:
        """An endpoint's document says that it is to be created, updated or deleted."""


class EndpointConfigs:
    """The operations on endpoint configs."""

    def __init__(self, state: State) -> None:
        self._state = state

    def create(self, body: Body) -> Body:
        check("create_endpoint_config", body)
        variant = _only_variant(body)
        model = resources.find(self._state, MODEL, str(variant["ModelName"]))
        if "ServerlessConfig" in variant and "ModelDataSource" in model.private["container"]:
            raise ServiceError("ValidationException", "ModelDataSource does not go with ServerlessConfig.")
        job = resources.made(CONFIG, str(body["EndpointConfigName"]), body, {})
        job.document["EndpointConfigArn"] = job.arn
        resources.add(self._state, job, body)
        return {"EndpointConfigArn": job.arn}

    def describe(self, body: Body) -> Body:
        check("describe_endpoint_config", body)
        job = resources.find(self._state, CONFIG, str(body["EndpointConfigName"]))
        return resources.answer("DescribeEndpointConfig", job.document)

    def delete(self, body: Body) -> Body:
        check("delete_endpoint_config", body)
        self._state.delete(resources.find(self._state, CONFIG, str(body["EndpointConfigName"])))
        return {}


class Endpoints:
    """The operations on endpoints."""

    def __init__(self, state: State, hosts: Hosts) -> None:
        self._state = state
        self._hosts = hosts

    def create(self, body: Body) -> Body:
        check("create_endpoint", body)
        _refuse_rollouts(body)
        plan = self._plan(str(body["EndpointConfigName"]))
        name = str(body["EndpointName"])
        job = resources.made(ENDPOINT, name, body, {"plan": plan, "generation": 1})
        job.document |= {"EndpointArn": job.arn, "EndpointStatus": "Creating"}
        job.document["ProductionVariants"] = [summary(plan, running=False)]
        resources.add(self._state, job, body)
        self._hosts.wake(name)
        return {"EndpointArn": job.arn}

    def describe(self, body: Body) -> Body:
        check("describe_endpoint", body)
        job = resources.find(self._state, ENDPOINT, str(body["EndpointName"]))
        return resources.answer("DescribeEndpoint", job.document)

    def update(self, body: Body) -> Body:
        check("update_endpoint", body)
        _refuse_rollouts(body)
        plan = self._plan(str(body["EndpointConfigName"]))
        with self._free(body) as job:
            if job.status != "InService":
                raise ServiceError("ValidationException", f'Endpoint "{job.arn}" is in status {job.status}.')
            job.private["next"] = {"plan": plan, "config": str(body["EndpointConfigName"])}
            job.document["EndpointStatus"] = "Updating"
            job.document.pop("FailureReason", None)
        self._hosts.wake(job.name)
        return {"EndpointArn": job.arn}

    def delete(self, body: Body) -> Body:
        check("delete_endpoint", body)
        with self._free(body) as job:
            job.document["EndpointStatus"] = "Deleting"
        self._hosts.wake(job.name)
        return {}

    @contextmanager
    def _free(self, body: Body) -> Iterator[Job]:
        """The endpoint, to be changed inside, while nothing is being done about it.

        Raises:
            ServiceError: there is none, or something is.
        """
        with self._state.transaction():
            name = resources.find(self._state, ENDPOINT, str(body["EndpointName"])).name
            with self._state.change(ENDPOINT, name) as job:
                if job.status in IN_PROGRESS:
                    raise ServiceError(
                        "ValidationException", f'Cannot update in-progress endpoint "{job.arn}".'
                    )
                yield job

    def _plan(self, name: str) -> dict[str, Any]:
        """What an endpoint of that config runs: it keeps running when config and model are deleted."""
        config = resources.find(self._state, CONFIG, name)
        variant = _only_variant(config.document)
        model: Job = resources.find(self._state, MODEL, str(variant["ModelName"]))
        return {"variant": variant, "container": model.private["container"]}


def summary(plan: Mapping[str, Any], *, running: bool) -> dict[str, Any]:
    """ProductionVariantSummary."""
    variant, image = plan["variant"], plan["container"].get("Image", "")
    weight = float(variant.get("InitialVariantWeight", 1.0))
    found = {"VariantName": variant["VariantName"], "CurrentWeight": weight, "DesiredWeight": weight}
    if "ServerlessConfig" in variant:
        found["CurrentServerlessConfig"] = variant["ServerlessConfig"]
    count = 0 if "ServerlessConfig" in variant else int(variant["InitialInstanceCount"])
    found |= {"CurrentInstanceCount": count if running else 0, "DesiredInstanceCount": count}
    if not running:
        return found | {"VariantStatus": [{"Status": "Creating", "StartTime": time.time()}]}
    deployed = {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": time.time()}
    return found | {"DeployedImages": [deployed]}


def _only_variant(body: Mapping[str, Any]) -> dict[str, Any]:
    for member, what in _ONLY_ON_AWS.items():
        if body.get(member):
            raise not_here(f"{what} ({member}); leave it out")
    variants: list[dict[str, Any]] = body["ProductionVariants"]
    if len(variants) > 1:
        raise not_here("several production variants of one endpoint")
    for member, what in _ONLY_ON_AWS_VARIANT.items():
        if variants[0].get(member):
            raise not_here(f"{what} ({member}); leave it out")
    if variants[0].get("ModelName") is None:
        raise not_here("inference components; give the variant a ModelName")
    if int(variants[0].get("InitialInstanceCount") or 1) > 1:
        raise not_here("several machines for one endpoint (InitialInstanceCount above 1)")
    return variants[0]


def _refuse_rollouts(body: Mapping[str, Any]) -> None:
    for member in ("DeploymentConfig", "RetainDeploymentConfig", "RetainAllVariantProperties"):
        if body.get(member):
            raise not_here(f"{member}; leave it out: an update starts the new process, then ends the old one")
