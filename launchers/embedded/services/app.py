"""The endpoint of all services: who is let in, and who answers."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from launchers.embedded.errors import ServiceError
from launchers.embedded.key import Key
from launchers.embedded.services.bodies import check_hash, read
from launchers.embedded.services.index import Index
from launchers.embedded.services.logs import Logs
from launchers.embedded.services.message import Message, Reply
from launchers.embedded.services.moto_apps import SERVICES, MotoApps
from launchers.embedded.services.refusals import INTERNAL, NOT_HERE, protocol_of, refusal, request_id
from launchers.embedded.services.s3_app import S3
from launchers.embedded.services.s3_files import FileBackend
from launchers.embedded.services.signature import EMPTY_HASH, Claim
from launchers.embedded.services.store import Store

Call = Callable[[str, dict[str, Any]], dict[str, Any]]


class Answer(Protocol):
    """What an endpoint answers."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def body(self) -> bytes: ...


Invoke = Callable[[str, Mapping[str, str], bytes], Answer]

_TARGET = "SageMaker."
_INVOCATIONS = re.compile(r"/endpoints/[^/]+/invocations")
_JSON = "application/x-amz-json-1.1"
_NAMES = ("127.0.0.1", "localhost")


class Services:
    """A WSGI application: SageMaker through ``call``, S3 and a few more through moto.

    One at a time for a folder; a file that an earlier one left unfinished is removed at the start.

    Args:
        folder: where S3 is kept.
        key: the only key whose requests are answered.
        call: answers an operation of SageMaker: name and body to body, or raises `ServiceError`.
        invoke: answers a request to an endpoint: path, headers and body to an answer, or raises likewise.
    """

    def __init__(self, folder: Path, key: Key, call: Call, invoke: Invoke) -> None:
        self._key = key
        self._call = call
        self._invoke = invoke
        self._index = Index(folder)
        self._index.sweep()
        backend = FileBackend(self._index)
        self._s3 = S3(backend, key)
        self._moto = MotoApps()
        self.store = Store(backend)
        self.logs = Logs()

    def close(self) -> None:
        """Let go of the folder; nothing is answered after that."""
        self._index.close()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
    ) -> Iterable[bytes]:
        message = Message.of_environ(environ)
        reply = self.answer(message)
        headers = reply.headers
        if isinstance(reply.body, bytes) and "content-length" not in {name.lower() for name in headers}:
            headers["Content-Length"] = str(len(reply.body))
        start_response(reply.line, list(headers.items()))
        return [reply.body] if isinstance(reply.body, bytes) else reply.body

    def answer(self, message: Message) -> Reply:
        """What is answered to a request, whatever it is."""
        service = ""
        try:
            _check_place(message)
            claim = Claim.of(message)
            service = claim.service
            return self._answer(message, claim)
        except ServiceError as error:
            return refusal(protocol_of(message, service), error)
        except ConnectionError:
            raise
        except Exception:
            print(traceback.format_exc(), file=sys.stderr, flush=True)
            failed = ServiceError(INTERNAL, "The embedded services failed; their log says how", 500)
            return refusal(protocol_of(message, service), failed)

    def _answer(self, message: Message, claim: Claim) -> Reply:
        if claim.service == "s3":
            claim.check(message, self._key, claim.payload or EMPTY_HASH)
            return self._s3.answer(message, claim)
        data = read(message)
        payload = claim.payload or _hash(data)
        claim.check(message, self._key, payload)
        check_hash(payload, data)
        if claim.service == "sagemaker":
            return self._sagemaker(message, data)
        if claim.service not in SERVICES:
            known = ", ".join(sorted({"s3", "sagemaker", *SERVICES}))
            raise ServiceError(
                NOT_HERE, f"The embedded services do not have {claim.service[:60]}, only {known}"
            )
        return self._moto.answer(message, claim, data)

    def _sagemaker(self, message: Message, data: bytes) -> Reply:
        target = message.header("x-amz-target")
        if not target and message.method == "POST" and _INVOCATIONS.fullmatch(message.path):
            return self._invocation(message, data)
        if not target.startswith(_TARGET):
            asked = f"{message.method} {message.path}"[:100]
            raise ServiceError(NOT_HERE, f"The embedded SageMaker does not have {asked}")
        try:
            answer = self._call(target.removeprefix(_TARGET), _object(data))
        except RecursionError:
            raise ServiceError("SerializationException", "The body is nested too deep") from None
        headers = {"Content-Type": _JSON, "x-amzn-RequestId": request_id()}
        return Reply(200, headers, json.dumps(answer).encode())

    def _invocation(self, message: Message, data: bytes) -> Reply:
        names = dict.fromkeys(name for name, _ in message.headers)
        answer = self._invoke(message.path, {name: message.header(name) for name in names}, data)
        return Reply(answer.status, {**answer.headers, "x-amzn-RequestId": request_id()}, answer.body)


def _check_place(message: Message) -> None:
    """Web pages cannot reach in: no browser leaves out Origin, and a rebound name is not ours.

    Raises:
        ServiceError: status 403.
    """
    if message.header("origin"):
        raise ServiceError("AccessDenied", "Requests from web pages (Origin) are not answered", 403)
    name, _, port = message.header("host").partition(":")
    if name not in _NAMES or (port or "80") != str(message.environ.get("SERVER_PORT")):
        raise ServiceError("AccessDenied", "This server is 127.0.0.1 and answers to no other name", 403)


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data or b"{}")
    except ValueError as error:
        raise ServiceError("SerializationException", f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise ServiceError("SerializationException", "The body is not a JSON object")
    return body


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
