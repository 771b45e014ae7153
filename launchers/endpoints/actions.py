"""What is done about an endpoint that is there: list, invoke, delete."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launchers.aws.clients import Clients
from launchers.aws.failures import explained
from launchers.aws.masking import masked
from launchers.endpoints import standing
from launchers.endpoints.resources import CONFIG, ENDPOINT, MODEL, Kind, described, mark_of, status_of
from sweepmaker.compare.printing import printable
from sweepmaker.config.errors import ConfigError, DataError, UserError

_LISTED = 100
_TYPES = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
    ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff", ".gif": "image/gif",
}  # fmt: skip


def show(clients: Clients, word: str | None) -> None:
    """The latest endpoints of the account and region, those with ``word`` in their names; one line each.

    Raises:
        UserError: AWS refused or could not be reached.
    """
    wanted = {"NameContains": word} if word else {}
    with explained(clients.where):
        found = clients.sagemaker.list_endpoints(
            SortBy="CreationTime", SortOrder="Descending", MaxResults=_LISTED, **wanted
        )["Endpoints"]
    for one in found:
        created = f"{one['CreationTime'].astimezone():%Y-%m-%d %H:%M:%S}"
        print(f"{created}  {printable(one['EndpointName']):<32}  {one['EndpointStatus']}")
    if not found:
        named = f" with {word} in their names" if word else ""
        print(f"no endpoints{named} in {clients.region}", file=sys.stderr)
    sys.stdout.flush()


def read(image: str | None) -> tuple[bytes, str]:
    """The content of an image's file, and its content type.

    Raises:
        ConfigError: no file is named, or one whose name is no image's.
        DataError: it cannot be read.
    """
    if image is None:
        raise ConfigError("is needed: which image?", key="images", allowed="a file", fix="images=FILE")
    path = Path(image).expanduser()
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"{image} is no image file by its name", key="images", allowed=", ".join(_TYPES))
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{image} cannot be read: it is not a regular file")
        return path.read_bytes(), kind
    except OSError as error:
        raise DataError(f"{image} cannot be read: {error.strerror}") from error


def invoke(clients: Clients, name: str, body: bytes, kind: str) -> None:
    """Send one image, of the content type ``kind``, and print what the endpoint answers.

    Raises:
        UserError: the endpoint refuses, or AWS.
    """
    from botocore.exceptions import ClientError, ReadTimeoutError

    with explained(clients.where):
        try:
            answer = clients.runtime.invoke_endpoint(
                EndpointName=name, Body=body, ContentType=kind, Accept="application/json"
            )
            content = answer["Body"].read()
        except ReadTimeoutError:
            seconds = clients.runtime.meta.config.read_timeout
            raise UserError(
                f"endpoint {name} has not answered within {seconds} s",
                fix=f"its log: {standing.log_group(name)}",
            ) from None
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ModelError":
                if "not found" in str(error):
                    _is_in_service(clients, name)
                raise
            raise _refused(name, error.response) from None
    print(content.decode(errors="replace").rstrip(), flush=True)


def _is_in_service(clients: Clients, name: str) -> None:
    """SageMaker calls an endpoint that is not in service "not found".

    Raises:
        UserError: there is none of that name, or it is in another state.
    """
    try:
        found = described(clients, ENDPOINT, name)
    except UserError:  # who may ask it need not be allowed to look at it
        return
    if found is None:
        raise UserError(
            f"there is no endpoint {name}", key="name",
            fix=f"python deploy.py action=list where={clients.where.get('name')} shows those that there are",
        )  # fmt: skip
    if (status := status_of(found)) != "InService":
        reason = printable(masked(str(found.get("FailureReason") or "SageMaker gives no reason")))
        raise UserError(f"endpoint {name} is {status}, so it does not answer: {reason}", key="name")


def delete(clients: Clients, name: str, *, dry_run: bool, again: Sequence[str]) -> None:
    """Delete an endpoint, and those configs and models that the same deployment of ours made.

    An endpoint that was updated runs with what another deployment made, and that one's may run with it too.

    Args:
        clients: of the account.
        name: of the endpoint.
        dry_run: only say what would be deleted.
        again: the words ``where=...`` of the command line.

    Raises:
        UserError: there is nothing of that name, or it is not ours; AWS refuses; it cannot be deleted.
    """
    there = _parts(clients, name)
    if not there:
        raise UserError(
            f"there is no endpoint {name} in {clients.region}",
            fix=" ".join(["python deploy.py action=list", *again]),
        )
    own = (
        there[0].mark if there[0].kind is ENDPOINT else next(filter(None, (one.mark for one in there)), None)
    )
    if own is None:
        raise UserError(
            f"the {there[0].kind.word} {name} was not made by deploy.py (it lacks the tag that says so)",
            fix="delete it by what made it, or in the console",
        )
    ours = [one for one in there if one.mark == own]
    if dry_run:
        told = [{"operation": one.kind.delete, "request": {one.kind.name: one.name}} for one in ours]
        print(json.dumps({"requests": told}, indent=2), flush=True)
        return
    done: dict[str, str] = {}
    for one in ours:
        if standing.end(clients, one.kind, one.name, lambda mark: mark == own):
            done[one.kind.word] = one.name
    for one in there:
        if one.mark != own:
            why = "it is another deployment's" if one.mark else "deploy.py did not make it"
            print(f"the {one.kind.word} {one.name} stays: {why}", file=sys.stderr)
    print(json.dumps({"deleted": done}), flush=True)


@dataclass(frozen=True)
class _Part:
    kind: Kind
    name: str
    mark: str | None


def _parts(clients: Clients, name: str) -> list[_Part]:
    """What may belong to an endpoint, as far as it is there: what it runs with, and what has its name."""
    found: dict[str, _Part] = {}

    def look(kind: Kind, one: str) -> dict[str, Any]:
        about = described(clients, kind, one)
        if about is not None and (arn := str(about[kind.arn])) not in found:
            found[arn] = _Part(kind, one, mark_of(clients, arn))
        return about or {}

    current = look(ENDPOINT, name).get("EndpointConfigName") or name
    models = []
    for config in dict.fromkeys((current, name)):
        variants = look(CONFIG, config).get("ProductionVariants", [])
        models += [variant["ModelName"] for variant in variants if variant.get("ModelName")]
    for model in dict.fromkeys((*models, name)):
        look(MODEL, model)
    return list(found.values())


def _refused(name: str, response: Any) -> UserError:
    status, text = response.get("OriginalStatusCode"), str(response.get("OriginalMessage", ""))
    return UserError(
        f"endpoint {name} answered {status}: {printable(masked(text))[:500]}",
        fix=f"its log: {standing.log_group(name)}" if status != 400 else None,
    )
