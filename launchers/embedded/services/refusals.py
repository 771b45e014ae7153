"""Errors in the words and the format of the service that a client talks to."""

from __future__ import annotations

import json
import secrets
from enum import Enum
from xml.sax.saxutils import escape

from launchers.embedded.errors import ServiceError
from launchers.embedded.services.message import Message, Reply


class Protocol(Enum):
    """How a service speaks."""

    S3 = "s3"
    JSON = "json"
    QUERY = "query"
    CBOR = "cbor"


_QUERY_SERVICES = frozenset({"sts", "iam"})

# One mistake, one name per protocol: clients decide by it what to say and whether to try again.
UNSIGNED = "MissingAuthenticationToken"
UNKNOWN_KEY = "InvalidClientTokenId"
BAD_SIGNATURE = "SignatureDoesNotMatch"
EXPIRED = "RequestExpired"
NOT_HERE = "NotImplemented"
INTERNAL = "InternalFailure"
_NAMES: dict[Protocol, dict[str, str]] = {
    Protocol.S3: {UNSIGNED: "AccessDenied", UNKNOWN_KEY: "InvalidAccessKeyId", EXPIRED: "AccessDenied"},
    Protocol.JSON: {
        UNSIGNED: "MissingAuthenticationTokenException",
        UNKNOWN_KEY: "UnrecognizedClientException",
        BAD_SIGNATURE: "InvalidSignatureException",
        EXPIRED: "InvalidSignatureException",
        NOT_HERE: "UnknownOperationException",
    },
    Protocol.QUERY: {EXPIRED: "SignatureDoesNotMatch", NOT_HERE: "InvalidAction"},
}


def protocol_of(message: Message, service: str) -> Protocol:
    """What the client will understand; ``service`` is the signature's scope, empty where there is none."""
    if service == "s3":
        return Protocol.S3
    if message.header("smithy-protocol") == "rpc-v2-cbor":
        return Protocol.CBOR
    if service in _QUERY_SERVICES or message.header("content-type").startswith(
        "application/x-www-form-urlencoded"
    ):
        return Protocol.QUERY
    if service or message.header("x-amz-target"):
        return Protocol.JSON
    return Protocol.S3


def request_id() -> str:
    text = secrets.token_hex(16)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def refusal(protocol: Protocol, error: ServiceError) -> Reply:
    """``error`` as the client's library expects it."""
    names = _NAMES.get(Protocol.JSON if protocol is Protocol.CBOR else protocol, {})
    code, marked = names.get(error.code, error.code), request_id()
    headers = {"x-amzn-RequestId": marked}
    if protocol is Protocol.S3:
        headers |= {"Content-Type": "application/xml", "x-amz-request-id": marked}
        return Reply(error.status, headers, _s3(code, error.message, marked))
    if protocol is Protocol.QUERY:
        headers["Content-Type"] = "text/xml"
        return Reply(error.status, headers, _query(code, error.message, marked))
    headers["x-amzn-ErrorType"] = code
    if protocol is Protocol.CBOR:
        headers |= {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        return Reply(error.status, headers, _cbor({"__type": code, "message": error.message}))
    headers["Content-Type"] = "application/x-amz-json-1.1"
    return Reply(error.status, headers, json.dumps({"__type": code, "message": error.message}).encode())


def _s3(code: str, message: str, marked: str) -> bytes:
    text = (
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        f"<RequestId>{marked}</RequestId></Error>"
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def _query(code: str, message: str, marked: str) -> bytes:
    return (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code>"
        f"<Message>{escape(message)}</Message></Error><RequestId>{marked}</RequestId></ErrorResponse>"
    ).encode()


def _cbor(texts: dict[str, str]) -> bytes:
    """A map of text to text, of fewer than 24 entries (RFC 8949)."""
    parts = [bytes([0xA0 | len(texts)])]
    for text in (text for pair in texts.items() for text in pair):
        raw = text.encode()
        parts += [b"\x7a" + len(raw).to_bytes(4, "big"), raw]
    return b"".join(parts)
