"""S3: bodies of objects go from the socket to a file and from a file to the socket; moto does the rest."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from launchers.embedded.errors import ServiceError
from launchers.embedded.key import Key
from launchers.embedded.services.bodies import Upload, check_hash, read, receive
from launchers.embedded.services.chunks import PREFIX
from launchers.embedded.services.message import Message, Reply, Slice
from launchers.embedded.services.moto_apps import LOCK, environ_for_moto, stumbled
from launchers.embedded.services.objects import Contents
from launchers.embedded.services.refusals import NOT_HERE
from launchers.embedded.services.s3_files import FileBackend
from launchers.embedded.services.signature import UNSIGNED_PAYLOAD, Claim

_SUBRESOURCES = frozenset({"acl", "tagging", "retention", "legal-hold"})
_NOT_HERE = frozenset({"select", "restore", "torrent", "renameObject"})
_READING = ("GET", "HEAD")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_HOP = ("server", "date", "connection", "transfer-encoding")


class S3:
    """Answers S3's requests from a `FileBackend`."""

    def __init__(self, backend: FileBackend, key: Key) -> None:
        self._backend = backend
        self._key = key

    def answer(self, message: Message, claim: Claim) -> Reply:
        """
        Args:
            message: a request whose signature is right; its body is still to come.
            claim: that signature.

        Raises:
            ServiceError: the body is wrong, or moto does not have it.
        """
        if not _is_upload(message):
            data = read(message)
            payload = claim.payload or UNSIGNED_PAYLOAD
            if payload.startswith(PREFIX):
                raise ServiceError("InvalidRequest", f"{payload[:60]} is for uploads only")
            check_hash(payload, data)
            return self._ask(message, claim, data, None)
        path = self._backend.index.incoming()
        try:
            return self._ask(message, claim, b"", receive(message, claim, self._key, path))
        finally:
            path.unlink(missing_ok=True)

    def _ask(self, message: Message, claim: Claim, data: bytes, upload: Upload | None) -> Reply:
        backend = self._backend
        environ = environ_for_moto(message, claim, data)
        _tidy(environ, upload)
        with LOCK, backend.installed():
            backend.upload, backend.writing = upload, message.method not in _READING
            try:
                status, headers, content = _moto(message, environ)
                backend.commit()
            finally:
                backend.upload, backend.writing = None, False
            reply = Reply(int(status), {str(name): _latin(value) for name, value in headers.items()})
            reply.headers = {n: v for n, v in reply.headers.items() if n.lower() not in _HOP}
            if isinstance(content, Contents):  # opened here: nobody can delete it before
                return _sliced(message, reply, content)
        if reply.status >= 500:
            raise _missing(message, f"{status} from moto")
        reply.body = content.encode() if isinstance(content, str) else bytes(content)
        if message.method != "HEAD":
            _drop(reply.headers, "content-length")
        return reply


def _is_upload(message: Message) -> bool:
    """Whether the body is an object or a part of one."""
    names = {name for name, _ in message.pairs}
    if names & _NOT_HERE:
        raise _missing(message, "")
    has_key = message.path.lstrip("/").partition("/")[2] != ""
    return (
        message.method == "PUT"
        and has_key
        and not names & _SUBRESOURCES
        and not message.header("x-amz-copy-source")
    )


def _moto(message: Message, environ: dict[str, Any]) -> tuple[int, dict[str, Any], Any]:
    """Moto's handlers without its router, which takes ``//`` in a key for ``/``."""
    from moto.core.request import Request
    from moto.s3.responses import S3Response

    request = Request(environ)
    request.from_wsgi_server = True
    has_key = message.path.partition("/")[2].partition("/")[2] != ""
    handler = S3Response.key_dispatch if has_key else S3Response.bucket_dispatch
    try:
        status, headers, content = handler(request, request.raw_url, dict(request.headers))
    except NotImplementedError as error:
        raise _missing(message, str(error)) from error
    except (OSError, sqlite3.Error):
        raise
    except Exception as error:
        raise stumbled(error) from error
    return status, headers, content


def _tidy(environ: dict[str, Any], upload: Upload | None) -> None:
    """Take out what was dealt with before moto, and what moto would keep as the object's metadata."""
    environ.pop("HTTP_X_AMZ_CONTENT_SHA256", None)
    if environ["REQUEST_METHOD"] == "GET":
        environ.pop("HTTP_RANGE", None)
    if environ.get("HTTP_X_AMZ_COPY_SOURCE"):
        environ.pop("HTTP_X_AMZ_CHECKSUM_ALGORITHM", None)  # it would be computed of no bytes at all
    if upload is None:
        return
    codings = [c.strip() for c in str(environ.pop("HTTP_CONTENT_ENCODING", "")).split(",")]
    if rest := ",".join(coding for coding in codings if coding not in ("", "aws-chunked")):
        environ["HTTP_CONTENT_ENCODING"] = rest
    for name, value in upload.checksums.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        if name not in ("x-amz-checksum-algorithm", "x-amz-checksum-type"):
            environ.setdefault("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", name.rpartition("-")[2].upper())
    if not upload.checksums:
        environ.pop("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", None)


def _sliced(message: Message, reply: Reply, contents: Contents) -> Reply:
    """The object, or the part of it that a Range header asks for."""
    _drop(reply.headers, "content-length")
    start, end = 0, contents.length
    match = _RANGE.fullmatch(message.header("range").strip())
    if match and reply.status == 200 and (match[1] or match[2]):
        first, last = match[1], match[2]
        if first:
            start, end = int(first), min(int(last) + 1, contents.length) if last else contents.length
        else:
            start = max(contents.length - int(last), 0)
        if start >= contents.length or (not first and not int(last)):
            raise ServiceError("InvalidRange", f"The object has {contents.length} bytes", 416)
        if start >= end:
            start, end = 0, contents.length  # the end before the start: as if it were not there
        else:
            reply.status = 206
            reply.headers["Content-Range"] = f"bytes {start}-{end - 1}/{contents.length}"
            for name in [name for name in reply.headers if name.lower().startswith("x-amz-checksum-")]:
                del reply.headers[name]
    reply.headers["Content-Length"] = str(end - start)
    reply.body = Slice.of_path(contents.file, start, end - start)
    return reply


def _drop(headers: dict[str, str], name: str) -> None:
    for key in [key for key in headers if key.lower() == name]:
        del headers[key]


def _latin(value: object) -> str:
    """Header values are bytes; what is not Latin-1 goes as UTF-8."""
    text = str(value)
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode().decode("latin-1")
    return text


def _missing(message: Message, why: str) -> ServiceError:
    asked = f"{message.method} {message.path}?{message.query}"
    return ServiceError(NOT_HERE, f"The embedded S3 does not have {asked[:100]} {why[:200]}".rstrip())
