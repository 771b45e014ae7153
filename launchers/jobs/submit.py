"""One create call for one job, however often it is tried.

SageMaker's create calls take no client token. Here the job's name is the token: it is minted once and
kept in ``launch.json`` before anything is sent, so that whoever continues asks for that name first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launchers.aws.answers import AgainError
from launchers.aws.clients import Clients, connect
from launchers.aws.failures import code_of, explain
from launchers.aws.masking import masked
from launchers.jobs.differences import differences
from launchers.jobs.operations import OPERATIONS, described
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run.atomic import write_json

FILE = "launch.json"
"""In the sweep folder: what was, or was about to be, sent."""

_FORMAT = 1
_CONNECTION = ("name", "region", "profile", "endpoint_url", "s3_endpoint_url")
_SERVER = ("root", "server")  # in place of addresses, where a server is started for them
_SHOWN = 10  # differences written out


@dataclass(frozen=True)
class Submitted:
    """A job that is there."""

    name: str
    arn: str
    existed: bool
    """Nothing was sent, or what was sent found the job there already."""


def create(clients: Clients, operation: str, request: Mapping[str, Any], folder: Path) -> Submitted:
    """Send ``request`` once, and keep in ``folder`` what was sent.

    Args:
        clients: of the account that shall run the job.
        operation: ``create_hyper_parameter_tuning_job`` or ``create_training_job``.
        request: complete, with the job's name in it; what it refers to in S3 is there.
        folder: the sweep's, or the single run's; made where it is missing.

    Raises:
        ConfigError: the folder belongs to another job; the name is taken by another request.
        UserError: AWS refused or could not be reached; `resume` goes on from here.
    """
    known = OPERATIONS[operation]
    earlier = kept(folder) if (folder / FILE).exists() else None
    if earlier is not None and (earlier["operation"], earlier["request"]) != (operation, _plain(request)):
        raise ConfigError(
            f"{folder} belongs to another job already ({earlier['name']})",
            fix=f"resume={folder} continues that one; a new one goes into a folder of its own",
        )
    if earlier is not None:
        return _find_or_send(clients, earlier, folder)
    entry = {
        "format": _FORMAT,
        "name": request[known.name],
        "operation": operation,
        "where": {key: clients.given.get(key) for key in _CONNECTION}
        | {key: clients.given[key] for key in _SERVER if clients.given.get(key) is not None},
        "region": clients.region,
        "request": _plain(request),
        "state": "minted",
        "arn": None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, entry)
    return _send(clients, entry, folder)


def resume(folder: Path, clients: Clients | None = None) -> Submitted:
    """Find the job that ``folder`` stands for, or send its request.

    Args:
        folder: one in which `create` was called.
        clients: None connects as the folder says.

    Raises:
        ConfigError: it is not such a folder, or the clients are of another region.
        UserError: as `create`.
    """
    entry = kept(folder)
    if clients is None:
        clients = connected(entry)
    if clients.region != entry["region"]:
        raise ConfigError(
            f"is {clients.region}, and {entry['name']} was launched in {entry['region']}",
            key="where.region",
            fix=f"where.region={entry['region']}",
        )
    return _find_or_send(clients, entry, folder)


def connected(entry: Mapping[str, Any]) -> Clients:
    """Clients as what was `kept` says.

    Raises:
        UserError: as `connect`.
    """
    return connect({**entry["where"], "region": entry["region"]})


def _find_or_send(clients: Clients, entry: dict[str, Any], folder: Path) -> Submitted:
    found = described(clients, OPERATIONS[entry["operation"]], entry["name"])
    if found is not None:
        return _same(clients, entry, found, folder)
    if entry["arn"]:
        account = entry["arn"].split(":")[4]
        if account != clients.account:
            raise UserError(
                masked(
                    f"{entry['name']} was launched in account {account}, and these are credentials of another"
                ),
                fix="where.profile=NAME with that account's credentials",
            )
        print(f"{entry['name']} is not there any more; sending it again", file=sys.stderr)
    return _send(clients, entry, folder)


def _send(clients: Clients, entry: dict[str, Any], folder: Path) -> Submitted:
    known = OPERATIONS[entry["operation"]]
    client = clients.sagemaker
    try:
        answer = getattr(client, known.create)(**entry["request"])
    except Exception as error:
        if not (_is_taken(error) or _is_unclear(error)):
            raise _told(error, clients, folder) from None
        found = _after(error, clients, entry, folder)
        return _same(clients, entry, found, folder)
    return _settled(entry, str(answer[known.arn]), folder, existed=False)


def _after(error: Exception, clients: Clients, entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The job that is there although the call failed: an answer that got lost, or a name in use."""
    try:
        found = described(clients, OPERATIONS[entry["operation"]], entry["name"])
    except UserError:  # the line is down: the first error says why
        raise _told(error, clients, folder) from None
    if found is None:
        raise _told(error, clients, folder) from None
    return found


def _told(error: Exception, clients: Clients, folder: Path) -> Exception:
    """The error to raise, with how to go on from here."""
    known = explain(error, clients.where)
    if known is None:
        return error
    again = f"resume={folder} sends the same request"
    if isinstance(known, AgainError):  # not simply again: that job would have a new name
        known.fix = f"{again}: what was uploaded stays, and nothing is created twice"
    else:
        known.fix = f"{known.fix}; then {again}" if known.fix else again
    return known


def _is_taken(error: Exception) -> bool:
    return code_of(error) in ("ResourceInUse", "ResourceInUseException")


def _is_unclear(error: Exception) -> bool:
    """The request may have arrived: the connection broke, or the service failed on the way."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0) >= 500
    return isinstance(error, HTTPClientError | ConnectionError)


def _same(clients: Clients, entry: dict[str, Any], found: Mapping[str, Any], folder: Path) -> Submitted:
    known = OPERATIONS[entry["operation"]]
    shape = clients.sagemaker.meta.service_model.operation_model(known.api_describe).output_shape
    differing = differences(entry["request"], found, shape)
    if differing:
        listed = "\n".join(f"    {line}" for line in differing[:_SHOWN])
        more = f"\n    and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        raise ConfigError(
            masked(f"there is a {known.word} {entry['name']} already, with another request:\n{listed}{more}"),
            key="job.name",
            fix="leave job.name out, or choose another",
        )
    return _settled(entry, str(found[known.arn]), folder, existed=True)


def _settled(entry: dict[str, Any], arn: str, folder: Path, *, existed: bool) -> Submitted:
    entry.update(state="sent", arn=arn)
    write_json(folder / FILE, entry)
    return Submitted(entry["name"], arn, existed)


def kept(folder: Path) -> dict[str, Any]:
    """What `create` kept in a folder before it sent.

    Raises:
        ConfigError: it is not such a folder.
    """
    try:
        entry = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError):
        entry = None
    if (
        not isinstance(entry, dict)
        or entry.get("operation") not in OPERATIONS
        or entry.get("format") != _FORMAT
        or not isinstance(entry.get("where"), dict)
        or not isinstance(entry.get("request"), dict)
        or not isinstance(entry.get("name"), str)
    ):
        raise ConfigError(
            f"{folder} is not the folder of a launched job (it has no {FILE} that can be read)",
            key="resume",
            allowed="a folder such as multirun/<date>/<time> in which launch.py was started",
        )
    return entry


def _plain(request: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it, so that what was kept and what is meant now can be compared."""
    plain: dict[str, Any] = json.loads(json.dumps(request))
    return plain
