"""What is done about an endpoint that is there: list, invoke, delete."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launchers.aws.clients import Clients
from launchers.aws.failures import explained
from launchers.aws.masking import masked
from launchers.endpoints import standing
from launchers.endpoints.resources import CONFIG, ENDPOINT, MODEL, Kind, described, mark_of, remove, status_of
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
        print(f"no endpoints in {clients.region}", file=sys.stderr)
    sys.stdout.flush()


def invoke(clients: Clients, name: str, image: str | None) -> None:
    """Send one image and print what the endpoint answers.

    Raises:
        ConfigError: there is no such file.
        UserError: the endpoint refuses, or AWS.
    """
    if image is None:
        raise ConfigError("is needed: which image?", key="images", allowed="a file", fix="images=FILE")
    path = Path(image).expanduser()
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"{image} is no image file by its name", key="images", allowed=", ".join(_TYPES))
    try:
        body = path.read_bytes()
    except OSError as error:
        raise DataError(f"{image} cannot be read: {error.strerror}") from error
    from botocore.exceptions import ClientError

    with explained(clients.where):
        try:
            answer = clients.runtime.invoke_endpoint(
                EndpointName=name, Body=body, ContentType=kind, Accept="application/json"
            )
            content = answer["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ModelError":
                raise
            raise _refused(name, error.response) from None
    print(content.decode(errors="replace").rstrip(), flush=True)


def delete(clients: Clients, name: str, *, dry_run: bool, again: Sequence[str]) -> None:
    """Delete an endpoint, its config and its model, where a deployment of ours made them.

    Args:
        clients: of the account.
        name: of the endpoint.
        dry_run: only say what would be deleted.
        again: the words ``where=...`` of the command line.

    Raises:
        UserError: there is nothing of that name, or it is not ours; AWS refuses.
    """
    there = _parts(clients, name)
    if not there:
        raise UserError(
            f"there is no endpoint {name} in {clients.region}",
            fix=" ".join(["python deploy.py action=list", *again]),
        )
    marks = [mark_of(clients, str(found[kind.arn])) for kind, _, found in there]
    if marks[0] is None:
        kind = there[0][0]
        raise UserError(
            f"the {kind.word} {name} was not made by deploy.py (it lacks the tag that says so)",
            fix="delete it by what made it, or in the console",
        )
    if dry_run:
        told = [
            {"operation": kind.delete, "request": {kind.name: one}}
            for (kind, one, _), mark in zip(there, marks, strict=True)
            if mark is not None
        ]
        print(json.dumps({"requests": told}, indent=2), flush=True)
        return
    done: dict[str, str] = {}
    known: str | None = ""
    for kind, one, _ in there:
        if kind is ENDPOINT:  # SageMaker deletes none while something is being done about it
            known = status_of(standing.wait(clients, one, standing.settled))
        removed = remove(clients, kind, one, lambda mark: mark is not None)
        if kind is ENDPOINT:
            standing.wait(clients, one, lambda status: status is None, known=known)
        if removed:
            done[kind.word] = one
        elif removed is False:
            print(f"the {kind.word} {one} stays: deploy.py did not make it", file=sys.stderr)
    print(json.dumps({"deleted": done}), flush=True)


def _parts(clients: Clients, name: str) -> list[tuple[Kind, str, dict[str, Any]]]:
    """What belongs to an endpoint, as far as it is there: of a half-made deployment the rest."""
    found: list[tuple[Kind, str, dict[str, Any]]] = []
    endpoint = described(clients, ENDPOINT, name)
    config_name, model_name = name, name
    if endpoint is not None:
        found.append((ENDPOINT, name, endpoint))
        config_name = str(endpoint.get("EndpointConfigName") or name)
    config = described(clients, CONFIG, config_name)
    if config is not None:
        found.append((CONFIG, config_name, config))
        model_name = str(config["ProductionVariants"][0].get("ModelName") or name)
    model = described(clients, MODEL, model_name)
    if model is not None:
        found.append((MODEL, model_name, model))
    return found


def _refused(name: str, response: Any) -> UserError:
    status, text = response.get("OriginalStatusCode"), str(response.get("OriginalMessage", ""))
    return UserError(
        f"endpoint {name} answered {status}: {printable(masked(text))[:500]}",
        fix=f"its log: /aws/sagemaker/Endpoints/{name}" if status != 400 else None,
    )
