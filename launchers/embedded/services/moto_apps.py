"""moto's servers of the other services, in this process: STS, IAM, CloudWatch, ECR."""

from __future__ import annotations

import io
import sys
import threading
import traceback
from collections.abc import Iterable
from typing import Any

from launchers.embedded.errors import ServiceError
from launchers.embedded.services.message import HEADERS, Message, Reply
from launchers.embedded.services.refusals import NOT_HERE
from launchers.embedded.services.signature import Claim

LOCK = threading.RLock()
"""Held by whoever is in moto: its backends are made for one thread at a time."""

SERVICES = {
    "sts": "who am I: clients and the SDK ask before anything else",
    "iam": "the role that jobs are given is looked up",
    "logs": "where trials' output is read",
    "monitoring": "CloudWatch's metrics: trials may put some",
    "ecr": "people's scripts look up the image that they name",
}
"""What is handed to moto besides S3, and what for. The rest of moto is out of reach."""

_PATHS = "/service/"  # of CBOR; all the other protocols of `SERVICES` have one path, /


class MotoApps:
    """moto's own dispatcher; loaded at the first request."""

    def __init__(self) -> None:
        self._app: Any = None

    def answer(self, message: Message, claim: Claim, body: bytes) -> Reply:
        """
        Args:
            message: a request whose signature is right.
            claim: that signature; its service is one of `SERVICES`.
            body: all of the body.

        Raises:
            ServiceError: moto does not have it.
        """
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            started.append((status, headers))

        if message.path != "/" and not message.path.startswith(_PATHS):
            raise _missing(message, claim, "no such path")  # moto's own pages are there
        with LOCK:
            try:
                content = _all(self._loaded()(environ_for_moto(message, claim, body), start_response))
            except NotImplementedError as error:
                raise _missing(message, claim, str(error)) from error
            except Exception as error:
                raise stumbled(error) from error
        status, headers = started[-1]
        code = int(status.split()[0])
        kind = dict((name.lower(), value) for name, value in headers).get("content-type", "")
        if code >= 500 or (
            code >= 400 and kind.startswith("text/html") and b"<html" in content[:200].lower()
        ):
            raise _missing(message, claim, f"{code} from moto")
        skip = ("content-length", "date", "server", "connection")
        return Reply(code, {n: v for n, v in headers if n.lower() not in skip}, content)

    def _loaded(self) -> Any:
        if self._app is None:
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

            self._app = DomainDispatcherApplication(create_backend_app)
        return self._app


def environ_for_moto(message: Message, claim: Claim, body: bytes) -> dict[str, Any]:
    """WSGI's environ of a request that was let in; moto tells the service by the signature."""
    environ = {name: value for name, value in message.environ.items() if name != HEADERS}
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["HTTP_AUTHORIZATION"] = (
        f"AWS4-HMAC-SHA256 Credential={claim.access_key_id}/{claim.scope}, "
        f"SignedHeaders={';'.join(claim.signed_headers)}, Signature={claim.signature}"
    )
    # A header by which moto would answer for another account; and what is decoded already.
    for name in ("HTTP_X_MOTO_ACCOUNT_ID", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT"):
        environ.pop(name, None)
    return environ


def stumbled(error: Exception) -> ServiceError:
    """Moto's own failures are mostly odd requests: no use in trying again, so no 5xx."""
    print(traceback.format_exc(), file=sys.stderr, flush=True)
    return ServiceError(
        "InvalidRequest", f"moto failed at this request: {type(error).__name__}: {error}"[:500]
    )


def _all(content: Iterable[bytes]) -> bytes:
    try:
        return b"".join(content)
    finally:
        if close := getattr(content, "close", None):
            close()


def _missing(message: Message, claim: Claim, why: str) -> ServiceError:
    asked = message.header("x-amz-target") or f"{message.method} {message.path}"
    return ServiceError(
        NOT_HERE, f"The embedded services do not have {claim.service} {asked[:100]} ({why[:200]})"
    )
