"""A plan carried out: model, endpoint config and endpoint made, or none of them left."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from launchers.aws import lookup
from launchers.aws.answers import AgainError, Refusal
from launchers.aws.clients import Clients
from launchers.aws.failures import code_of, explained
from launchers.aws.masking import masked
from launchers.aws.refusals import in_use
from launchers.aws.storage import open_storage
from launchers.endpoints import standing
from launchers.endpoints.plan import Plan
from launchers.endpoints.request import Call
from launchers.endpoints.resources import CONFIG, ENDPOINT, MODEL, described, mark_of
from sweepmaker.compare.printing import printable
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run.interrupt import Interrupted

_TAKEN = "already exist"  # "Cannot create already existing ..."
_MADE = {"create_model": MODEL, "create_endpoint_config": CONFIG, "create_endpoint": ENDPOINT}


def send(clients: Clients, plan: Plan, cfg: DictConfig, again: Sequence[str]) -> None:
    """Upload, create, wait; the result goes to stdout as one line of JSON.

    Args:
        clients: of the account.
        plan: what to do.
        cfg: of the deployment.
        again: the words ``where=...`` of the command line.

    Raises:
        ConfigError: the name is taken.
        UserError: AWS refused, or the endpoint failed; then nothing of it is left, or what is left is named.
        Interrupted: Ctrl-C; the endpoint goes on being made, and how to end it was said.
    """
    if cfg.name is not None:
        _is_free(clients, plan.name, again)
    if plan.upload is not None:
        storage = open_storage(clients)
        storage.check()
        sent = storage.put(plan.upload)
        print(f"{'uploaded' if sent else 'there already'}: {plan.upload.what}", file=sys.stderr)
    if plan.registers:
        return _register(clients, plan)
    end = command("delete", plan.name, again)
    see = command("list", plan.name, again)
    try:
        _create(clients, plan, end, see)
        if cfg.wait:
            _in_service(clients, plan, end, see)
    except Interrupted:
        print(f"endpoint {plan.name} may go on; to end it: {end}", file=sys.stderr)
        raise
    _told(clients, plan, "InService" if cfg.wait else "Creating", again)


def _is_free(clients: Clients, name: str, again: Sequence[str]) -> None:
    """Better said before anything is sent than by the first call that is refused."""
    if (found := described(clients, ENDPOINT, name)) is not None:
        raise ConfigError(
            f"there is an endpoint of this name already ({found['EndpointStatus']})",
            key="name",
            fix=f"another one, or first: {command('delete', name, again)}",
        )


def command(action: str, name: str, again: Sequence[str] = (), *more: str) -> str:
    """A command line about an endpoint."""
    return shlex.join(["python", "deploy.py", f"action={action}", f"name={name}", *more, *again])


def _call(clients: Clients, call: Call) -> dict[str, Any]:
    """What the service answers.

    Raises:
        _TakenError: there is something of that name already.
        UserError: it refuses otherwise, or cannot be reached.
    """
    with explained(clients.where):
        try:
            found: dict[str, Any] = getattr(clients.sagemaker, call.operation)(**call.request)
            return found
        except Exception as error:
            if code_of(error) != "ValidationException" or _TAKEN not in str(error):
                raise
            taken = _TakenError(Refusal.of(error, clients.where))
    raise taken


class _TakenError(Exception):
    """The name of what was to be created is in use.

    Args:
        refusal: the service's.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def _make(clients: Clients, call: Call, plan: Plan) -> None:
    """Create one thing; one that this deployment made already, in a call whose answer got lost, is good.

    boto3 sends a request again when it hears nothing, and SageMaker's create calls take no token.
    """
    try:
        _call(clients, call)
    except _TakenError:
        kind = _MADE[call.operation]
        found = described(clients, kind, plan.name)
        if found is not None and mark_of(clients, str(found[kind.arn])) == plan.mark:
            return
        article = "an" if kind.word.startswith("e") else "a"
        raise ConfigError(
            f"there is {article} {kind.word} of this name already",
            key="name",
            fix="leave name out, or another one",
        ) from None


def _create(clients: Clients, plan: Plan, end: str, see: str) -> None:
    call = plan.calls[0]
    try:
        for call in plan.calls:
            _make(clients, call, plan)
    except UserError as error:
        try:
            done = _undo(clients, plan)
        except UserError as second:
            raise _with(_looked_first(error, see), _left(second, end)) from None
        if isinstance(error, AgainError) and _MADE[call.operation] is ENDPOINT and ENDPOINT.word not in done:
            # what was asked for may yet come, and cost
            raise _with(_looked_first(error, see), f"endpoint {plan.name} may still come: {end}") from None
        raise _with(error, _gone(done)) from None


def _in_service(clients: Clients, plan: Plan, end: str, see: str) -> None:
    try:
        found = standing.wait(clients, plan.name, standing.settled)
    except UserError as error:  # nobody could be asked any more, which says nothing about the endpoint
        error = _looked_first(error, see)
        raise _with(error, f"endpoint {plan.name} may go on, to end it: {end}") from None
    if found is None:
        raise UserError(f"endpoint {plan.name} was deleted while it was being made", fix=end)
    if found["EndpointStatus"] == "InService":
        return
    lines = standing.log_lines(clients, found)
    shown = "".join(f"\n    {line}" for line in lines)
    reason = printable(masked(found.get("FailureReason") or "SageMaker gave no reason"))
    log = f"\n  the end of its log:{shown}" if lines else ""
    failed = UserError(f"endpoint {plan.name} is {found['EndpointStatus']}: {reason}{log}")
    try:
        done = _undo(clients, plan, known=found["EndpointStatus"])
    except UserError as second:
        raise _with(failed, _left(second, end)) from None
    raise _with(failed, _gone(done))


def _looked_first(error: UserError, see: str) -> UserError:
    """Not simply again: each run has a new name, or makes one more version, so what is there would double."""
    if isinstance(error, AgainError):
        error.fix = f"before it is run again, see what there is: {see}"
    return error


def _gone(done: Sequence[str]) -> str:
    return f"{', '.join(done)} deleted again: nothing is left of it" if done else ""


def _left(error: UserError, end: str) -> str:
    return f"clearing up failed too ({error.message}); {end} does it"


def _with(error: UserError, more: str) -> UserError:
    error.fix = "; ".join(filter(None, (error.fix, more)))
    return error


def _undo(clients: Clients, plan: Plan, *, known: str = "") -> list[str]:
    """Delete what this deployment made, by its mark; returns the kinds of what was there.

    Args:
        clients: of the account.
        plan: that was carried out, or a part of it.
        known: status of the endpoint that has been told already.

    Raises:
        UserError: as `standing.end`; something may be left.
    """
    return [
        kind.word
        for kind in (ENDPOINT, CONFIG, MODEL)
        if standing.end(clients, kind, plan.name, lambda mark: mark == plan.mark, known=known)
    ]


def _register(clients: Clients, plan: Plan) -> None:
    """
    Raises:
        ConfigError: something else has the name.
        UserError: AWS refused otherwise.
    """
    group, package = plan.calls
    if lookup.described(clients, "describe_model_package_group", ModelPackageGroupName=plan.name) is None:
        with contextlib.suppress(_TakenError):  # somebody made it meanwhile, or this very call did
            _call(clients, group)
    try:
        arn = str(_call(clients, package)["ModelPackageArn"])
    except _TakenError as error:
        raise in_use(error.refusal) from None
    except UserError as error:
        raise _looked_first(error, _versions(clients, plan.name)) from None
    version = arn.rpartition("/")[2]
    print(f"registered as version {version} of {plan.name}; it waits for approval", file=sys.stderr)
    print(json.dumps({"package": arn, "status": package.request["ModelApprovalStatus"]}), flush=True)


def _versions(clients: Clients, group: str) -> str:
    """The command line that lists what is registered: no verb of ours does."""
    words = ["aws", "sagemaker", "list-model-packages", "--model-package-group-name", group]
    for option, value in (
        ("region", clients.region),
        ("profile", clients.where.get("profile")),
        ("endpoint-url", clients.where.get("endpoint_url")),
    ):
        words += [f"--{option}", str(value)] if value else []
    return shlex.join(words)


def _told(clients: Clients, plan: Plan, status: str, again: Sequence[str]) -> None:
    print(f"to ask it: {command('invoke', plan.name, again, 'images=FILE')}", file=sys.stderr)
    print(f"to end it: {command('delete', plan.name, again)}", file=sys.stderr)
    told = {"name": plan.name, "status": status, "region": clients.region}
    print(json.dumps(told), flush=True)
