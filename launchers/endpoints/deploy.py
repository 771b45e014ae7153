"""A plan carried out: model, endpoint config and endpoint made, or none of them left."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from launchers.aws import account
from launchers.aws.clients import Clients
from launchers.aws.failures import code_of, explained, is_absent
from launchers.aws.masking import masked
from launchers.aws.storage import open_storage
from launchers.endpoints import standing
from launchers.endpoints.plan import Plan
from launchers.endpoints.request import Call
from launchers.endpoints.resources import CONFIG, ENDPOINT, MODEL, remove, status_of
from sweepmaker.compare.printing import printable
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run.interrupt import Interrupted

_TAKEN = "already existing"


def send(clients: Clients, plan: Plan, cfg: DictConfig, again: Sequence[str]) -> None:
    """Upload, create, wait; the result goes to stdout as one line of JSON.

    Args:
        clients: of the account.
        plan: what to do.
        cfg: of the deployment.
        again: the words ``where=...`` of the command line.

    Raises:
        ConfigError: money would start running and nobody said yes; the name is taken.
        UserError: AWS refused, or the endpoint failed; then nothing of it is left, or what is left is named.
        Interrupted: Ctrl-C; the endpoint goes on being made, and how to end it was said.
    """
    where = cfg.where
    if missing := [key for key in ("role", "bucket") if not where[key]]:
        raise account.unset(missing, "the endpoint runs")
    if plan.upload is not None:
        storage = open_storage(clients)
        storage.check()
        sent = storage.put(plan.upload)
        print(f"{'uploaded' if sent else 'there already'}: {plan.upload.what}", file=sys.stderr)
    if plan.registers:
        return _register(clients, plan)
    end = command("delete", plan.name, again)
    try:
        _create(clients, plan, end)
        if cfg.wait:
            _in_service(clients, plan, end)
    except Interrupted:
        print(f"endpoint {plan.name} may go on; to end it: {end}", file=sys.stderr)
        raise
    _told(clients, plan, "InService" if cfg.wait else "Creating", again)


def command(action: str, name: str, again: Sequence[str] = (), *more: str) -> str:
    """A command line about an endpoint."""
    return shlex.join(["python", "deploy.py", f"action={action}", f"name={name}", *more, *again])


def _call(clients: Clients, call: Call) -> dict[str, Any]:
    with explained(clients.where):
        try:
            found: dict[str, Any] = getattr(clients.sagemaker, call.operation)(**call.request)
        except Exception as error:
            if code_of(error) == "ValidationException" and _TAKEN in str(error):
                what = call.operation.removeprefix("create_").replace("_", " ")
                wrong = f"there is a {what} of this name already"
                raise ConfigError(wrong, key="name", fix="leave name out, or another one") from None
            raise
    return found


def _create(clients: Clients, plan: Plan, end: str) -> None:
    try:
        for call in plan.calls:
            _call(clients, call)
    except UserError as error:
        raise _with(error, _undo(clients, plan, end)) from None


def _in_service(clients: Clients, plan: Plan, end: str) -> None:
    try:
        found = standing.wait(clients, plan.name, standing.settled)
    except UserError as error:  # nobody could be asked any more, which says nothing about the endpoint
        raise _with(error, f"endpoint {plan.name} may go on, to end it: {end}") from None
    if found is None:
        raise UserError(f"endpoint {plan.name} was deleted while it was being made", fix=end)
    if found["EndpointStatus"] == "InService":
        return
    lines = standing.log_lines(clients, plan.name)
    shown = "".join(f"\n    {line}" for line in lines)
    reason = printable(masked(found.get("FailureReason") or "SageMaker gave no reason"))
    log = f"\n  the end of its log:{shown}" if lines else ""
    failed = UserError(f"endpoint {plan.name} is {found['EndpointStatus']}: {reason}{log}")
    raise _with(failed, _undo(clients, plan, end))


def _with(error: UserError, more: str) -> UserError:
    error.fix = "; ".join(filter(None, (error.fix, more)))
    return error


def _undo(clients: Clients, plan: Plan, end: str) -> str:
    """Delete what this deployment made, by its mark; says what became of it."""
    done: list[str] = []
    try:
        for kind in (ENDPOINT, CONFIG, MODEL):
            known: str | None = ""
            if kind is ENDPOINT:  # SageMaker deletes none while something is being done about it
                known = status_of(standing.wait(clients, plan.name, standing.settled, known="Failed"))
            if remove(clients, kind, plan.name, lambda mark: mark == plan.mark):
                done.append(kind.word)
                if kind is ENDPOINT:
                    standing.wait(clients, plan.name, lambda status: status is None, known=known)
    except UserError as error:
        return f"clearing up failed too ({error.message}); {end} does it"
    return f"{', '.join(done)} deleted again: nothing is left of it" if done else ""


def _register(clients: Clients, plan: Plan) -> None:
    group, package = plan.calls
    with explained(clients.where):
        try:
            clients.sagemaker.describe_model_package_group(ModelPackageGroupName=plan.name)
        except Exception as error:
            if not is_absent(error):
                raise
            _call(clients, group)
    arn = str(_call(clients, package)["ModelPackageArn"])
    version = arn.rpartition("/")[2]
    print(f"registered as version {version} of {plan.name}; it waits for approval", file=sys.stderr)
    print(json.dumps({"package": arn, "status": package.request["ModelApprovalStatus"]}), flush=True)


def _told(clients: Clients, plan: Plan, status: str, again: Sequence[str]) -> None:
    print(f"to ask it: {command('invoke', plan.name, again, 'images=FILE')}", file=sys.stderr)
    print(f"to end it: {command('delete', plan.name, again)}", file=sys.stderr)
    told = {"name": plan.name, "status": status, "region": clients.region}
    print(json.dumps(told), flush=True)
