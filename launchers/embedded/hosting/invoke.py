"""A request to an endpoint, handed on to its process as SageMaker does, and what comes back."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from launchers.embedded.errors import ServiceError
from launchers.embedded.hosting import words
from launchers.embedded.hosting.host import Host
from launchers.embedded.hosting.hosts import Hosts
from launchers.embedded.hosting.life import TooManyError
from launchers.embedded.root import ACCOUNT, REGION
from launchers.embedded.state import ENDPOINT, State
from launchers.limits.hosting import ANSWER_S, PAYLOAD_MB, SERVERLESS_PAYLOAD_MB

LARGEST = PAYLOAD_MB << 20  # bytes
LARGEST_SERVERLESS = SERVERLESS_PAYLOAD_MB << 20
_LARGEST_ANSWER = LARGEST
_LONGEST_HEADER = 1024  # characters
_SHOWN = 1024  # characters of an error's text that stand in a ModelError
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_READY = ("InService", "Updating", "SystemUpdating")
_OURS = "x-amzn-sagemaker-"
# of InvokeEndpoint's headers, those that choose among what is not here
_ONLY_ON_AWS = ("target-model", "target-container-hostname", "inference-component", "enable-explanations")


@dataclass(frozen=True)
class Answer:
    """What the client gets."""

    status: int
    headers: dict[str, str]
    body: bytes


class Invocations:
    """InvokeEndpoint.

    Args:
        state: knows the endpoints.
        hosts: run their processes.
    """

    def __init__(self, state: State, hosts: Hosts) -> None:
        self._state = state
        self._hosts = hosts

    def __call__(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """
        Args:
            path: of the request, as sent.
            headers: of the request, names in lower case.
            body: of the request.

        Raises:
            ServiceError: what the client did wrong, or the endpoint does not answer.
        """
        name = unquote(path.split("/")[2])
        job = self._state.get(ENDPOINT, name) if _NAME.fullmatch(name) else None
        if job is None or job.name != name or job.status not in _READY:  # here capitals count
            raise ServiceError("ValidationError", words.not_found(name[:63]))
        variant = job.private["plan"]["variant"]
        self._check(headers, body, variant)
        try:
            with self._hosts.serving(name, ANSWER_S) as host:
                if host is None:
                    raise ServiceError("ValidationError", words.not_found(name))
                return _handed_on(name, host, headers, body)
        except TooManyError:
            raise ServiceError("ThrottlingException", "Rate exceeded", 429) from None

    def _check(self, headers: Mapping[str, str], body: bytes, variant: Mapping[str, object]) -> None:
        largest = LARGEST_SERVERLESS if "ServerlessConfig" in variant else LARGEST
        if len(body) > largest:
            raise _constraint("body", f"Member must have length less than or equal to {largest}")
        for header, value in _passed_on(headers).items():
            if len(value) > _LONGEST_HEADER:
                text = f"Member must have length less than or equal to {_LONGEST_HEADER}"
                raise _constraint(header, text)
        for header in _ONLY_ON_AWS:
            if headers.get(f"{_OURS}{header}"):
                raise ServiceError(
                    "ValidationError",
                    f"The embedded SageMaker does not have X-Amzn-SageMaker-{header.title()}.",
                )
        wanted = headers.get(f"{_OURS}target-variant")
        if wanted and wanted != variant["VariantName"]:
            raise ServiceError("ValidationError", f"Variant {wanted[:63]} is not one of the endpoint's.")


def _handed_on(name: str, host: Host, headers: Mapping[str, str], body: bytes) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=ANSWER_S)
    try:
        connection.request("POST", "/invocations", body, _passed_on(headers))
        came = connection.getresponse()
        content = came.read(_LARGEST_ANSWER + 1)
    except TimeoutError:
        return _failed(name, host, 0, words.TIMED_OUT)
    except (OSError, http.client.HTTPException) as error:
        return _failed(name, host, 500, f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    if came.status >= 400:
        return _failed(name, host, came.status, content[:_SHOWN].decode(errors="replace"))
    if len(content) > _LARGEST_ANSWER:
        return _failed(name, host, 500, f"an answer of more than {_LARGEST_ANSWER} bytes")
    kept = {
        "Content-Type": came.headers.get("Content-Type") or "application/octet-stream",
        "x-Amzn-Invoked-Production-Variant": str(host.plan["variant"]["VariantName"]),
    }
    kept |= {key: value for key, value in came.headers.items() if key.lower().startswith(_OURS)}
    return Answer(200, kept, content)


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a client's headers, those that reach a container (likewise)."""
    return {
        name: value
        for name, value in headers.items()
        if name in ("content-type", "accept") or name.startswith(_OURS)
    }


def _failed(name: str, host: Host, status: int, text: str) -> Answer:
    group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{words.group_of(name)}"
    content = {
        "Message": words.model_error(name, status, text),
        "OriginalStatusCode": status,
        "OriginalMessage": text,
        "LogStreamArn": group,
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL" if 400 <= status < 500 else "SERVER_ERROR_FROM_MODEL",
    }
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "ModelError"}
    return Answer(424, headers, json.dumps(content).encode())


def _constraint(member: str, constraint: str) -> ServiceError:
    return ServiceError(
        "ValidationError",
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: {constraint}",
    )
