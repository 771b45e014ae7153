"""Models, endpoint configs, endpoints and model packages: the rules that stand only in prose.

Sources: CreateModel, ContainerDefinition, S3ModelDataSource, CreateEndpointConfig, ProductionVariant and
ProductionVariantServerlessConfig, CreateModelPackage, API reference; SageMaker developer guide,
"Deploy models with Amazon SageMaker Serverless Inference".
"""

from __future__ import annotations

from collections.abc import Iterator

from launchers.limits import job
from launchers.limits.at import At, Violation
from launchers.limits.resources import has_local_storage
from launchers.limits.shown import shown

LONGEST_ENVIRONMENT = 32 << 10  # bytes of all keys and values of a model together
MEMORY_STEP = 1024  # MB of a serverless endpoint
ARCHIVE = ".tar.gz"
PAYLOAD_MB = 6  # 2^20 bytes of a request and of its answer: InvokeEndpoint, API reference
SERVERLESS_PAYLOAD_MB = 4  # likewise, of a serverless endpoint
ANSWER_S = 60  # until an answer has to be there: Use Your Own Inference Code with Hosting Services


def of_model(request: At) -> Iterator[Violation]:
    """What the service would refuse of a model although it fits the shapes."""
    first, several = request["PrimaryContainer"], request["Containers"]
    if first.given and several.given:
        yield several.bad("is set beside PrimaryContainer", "one of the two", "leave one out")
    if not first.given and not several.given:
        yield first.bad("is missing", "PrimaryContainer, or a list in Containers")
    containers = [first] if first.given else several.items()
    for container in containers:
        yield from _container(container)
    size = sum(
        len(f"{key}{value.text}".encode(errors="replace"))
        for container in containers
        for key, value in container["Environment"].entries()
    )
    if size > LONGEST_ENVIRONMENT:
        place = containers[0]["Environment"]
        yield place.bad(f"{size} bytes in all", f"at most {LONGEST_ENVIRONMENT} bytes of keys and values")
    yield from job.tags(request)


def of_endpoint_config(request: At) -> Iterator[Violation]:
    """What the service would refuse of an endpoint config although it fits the shapes."""
    production, shadow = request["ProductionVariants"].items(), request["ShadowProductionVariants"].items()
    yield from _twice([variant["VariantName"] for variant in (*production, *shadow)])
    if shadow and (len(production), len(shadow)) != (1, 1):
        yield request["ShadowProductionVariants"].bad(
            f"{len(shadow)} shadow variants beside {len(production)}", "one beside one production variant"
        )
    for variant in (*production, *shadow):
        yield from _machines(variant)
        if not variant["ModelName"].given and not request["ExecutionRoleArn"].given:
            yield variant["ModelName"].bad("is missing", "the name of a model")
        if variant["ServerlessConfig"].given:
            yield from _serverless(request, variant)
        key, kind = request["KmsKeyId"], variant["InstanceType"].text
        if key.given and has_local_storage(kind):
            yield key.bad(
                f"is set, but {kind} has local storage, which its hardware encrypts",
                "only for instance types without local storage",
                "leave it out for this type",
            )
    yield from job.tags(request)


def of_endpoint(request: At) -> Iterator[Violation]:
    """Likewise of an endpoint."""
    yield from job.tags(request)


def of_model_package_group(request: At) -> Iterator[Violation]:
    """Likewise of a group of model packages."""
    yield from job.tags(request)


def of_model_package(request: At) -> Iterator[Violation]:
    """Likewise of a model package: one of a group has a version, no name and the group's tags."""
    name, group = request["ModelPackageName"], request["ModelPackageGroupName"]
    if name.given and group.given:
        yield name.bad("is set beside ModelPackageGroupName", "one of the two", "leave it out")
    if not name.given and not group.given:
        yield group.bad("is missing", "the name of a group, or a ModelPackageName")
    if group.given and request["Tags"].given:
        yield request["Tags"].bad("does not go with a group, whose tags count", "none", "tag the group")
    specification = request["InferenceSpecification"]
    sources = (specification, request["SourceAlgorithmSpecification"], request["SourceUri"])
    if not any(source.given for source in sources):
        yield specification.bad("is missing", "the containers that serve it")
    for container in specification["Containers"].items():
        if not container["Image"].given:
            yield container["Image"].bad("is missing", "the address of the image that serves it")
        yield from _data(container)
    for member in ("SupportedContentTypes", "SupportedResponseMIMETypes"):
        if specification.given and not group.given and not specification[member].given:
            yield specification[member].bad("is missing", "required, but for packages of a group")
    yield from job.tags(request)


def _twice(names: list[At]) -> Iterator[Violation]:
    for index, name in enumerate(names):
        if name.text and name.text in {earlier.text for earlier in names[:index]}:
            yield name.bad(f"variant {shown(name.text)} is there twice", "each name once")


def _container(container: At) -> Iterator[Violation]:
    image, package = container["Image"], container["ModelPackageName"]
    if image.given and package.given:
        yield package.bad("is set beside Image", "one of the two", "leave one out")
    if not image.given and not package.given:
        yield image.bad("is missing", "the address of the image that serves (or a ModelPackageName)")
    yield from _data(container)


def _data(container: At) -> Iterator[Violation]:
    url, source = container["ModelDataUrl"], container["ModelDataSource"]["S3DataSource"]
    if url.given and container["ModelDataSource"].given:
        yield url.bad("is set beside ModelDataSource", "one of the two", "leave one out")
    if url.text and container["Mode"].text != "MultiModel" and not url.text.endswith(ARCHIVE):
        yield url.bad(f"{shown(url.text)} is no {ARCHIVE}", f"one archive, its name ending in {ARCHIVE}")
    if source["S3DataType"].text != "S3Prefix":
        return
    if source["S3Uri"].text and not source["S3Uri"].text.endswith("/"):
        yield source["S3Uri"].bad(
            f"{shown(source['S3Uri'].text)} is no prefix", "an address that ends with /", "add a /"
        )
    if source["CompressionType"].text == "Gzip":
        yield source["CompressionType"].bad("'Gzip' does not go with S3Prefix", "None, or S3Object")


def _machines(variant: At) -> Iterator[Violation]:
    """ProductionVariant, API reference: machines by type, by pools, or none to care for."""
    kinds = [variant[name] for name in ("InstanceType", "InstancePools", "ServerlessConfig")]
    given = [kind for kind in kinds if kind.given]
    for extra in given[1:]:
        yield extra.bad(f"does not go with {given[0].path}", "one of the two", "leave one out")
    if not given:
        yield kinds[0].bad("is missing", "an instance type such as ml.m5.large, or a ServerlessConfig")
    count = variant["InitialInstanceCount"]
    if variant["ServerlessConfig"].given and count.given:
        yield count.bad("does not go with ServerlessConfig", "none", "leave it out")
    if variant["InstanceType"].given and variant["ModelName"].given and not (count.whole or 0) > 0:
        what = f"{shown(count.value)} instances" if count.given else "is missing"
        yield count.bad(what, "a whole number, at least 1")


def _serverless(request: At, variant: At) -> Iterator[Violation]:
    config = variant["ServerlessConfig"]
    memory, most = config["MemorySizeInMB"], config["MaxConcurrency"]
    if memory.whole is not None and memory.whole % MEMORY_STEP:
        allowed = " | ".join(str(step * MEMORY_STEP) for step in range(1, 7))
        yield memory.bad(f"{shown(memory.value)} MB is not one of the sizes", allowed)
    kept = config["ProvisionedConcurrency"]
    if kept.whole is not None and most.whole is not None and kept.whole > most.whole:
        yield kept.bad(f"{shown(kept.value)} are more than MaxConcurrency", f"at most {most.whole}")
    for member in ("DataCaptureConfig", "AsyncInferenceConfig", "VpcConfig"):
        if request[member].given:
            yield request[member].bad("does not go with a serverless variant", "none", "leave it out")
