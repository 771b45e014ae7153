"""Who sent a request: Signature Version 4, in the Authorization header or in a presigned address.

AWS documents the scheme in "Create a signed AWS API request" and, for S3, in "Authenticating Requests
(AWS Signature Version 4)". Session tokens are not looked at: there is one key and it does not expire.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from launchers.embedded.errors import ServiceError
from launchers.embedded.key import Key
from launchers.embedded.services.message import Message
from launchers.embedded.services.refusals import BAD_SIGNATURE, EXPIRED, UNKNOWN_KEY, UNSIGNED

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_HASH = hashlib.sha256(b"").hexdigest()
SKEW = timedelta(minutes=15)
_LONGEST = 7 * 24 * 3600  # seconds that a presigned address may live
_NONE = "The request is not signed with Signature Version 4; this server's own key is needed"
_OLD = "The address is presigned with Signature Version 2: use Config(signature_version='s3v4')"
_FIELD = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^,]*)\s*")


@dataclass(frozen=True)
class Claim:
    """What a request says of its signature; nothing of it is known to be true before `check`."""

    access_key_id: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    date: str
    expires: int | None
    """Seconds, of a presigned address; None for a signed header."""
    payload: str | None
    """What the signature covers of the body: a SHA-256, a word such as UNSIGNED-PAYLOAD, None: the hash of
    whatever the body is."""

    @classmethod
    def of(cls, message: Message) -> Claim:
        """
        Raises:
            ServiceError: the request is not signed, or not in this scheme.
        """
        authorization = message.header("authorization")
        if authorization.startswith(f"{ALGORITHM} "):
            fields = {match[1]: match[2] for match in _FIELD.finditer(authorization)}
            return cls._of_fields(
                fields.get("Credential", ""),
                fields.get("SignedHeaders", ""),
                fields.get("Signature", ""),
                date=message.header("x-amz-date"),
                expires=None,
                payload=message.header("x-amz-content-sha256") or None,
            )
        if not authorization and message.parameter("X-Amz-Algorithm") == ALGORITHM:
            expires = message.parameter("X-Amz-Expires")
            if not (expires.isascii() and expires.isdigit() and 1 <= int(expires) <= _LONGEST):
                raise ServiceError(UNSIGNED, "X-Amz-Expires must be between 1 and 604800 seconds", 403)
            claim = cls._of_fields(
                message.parameter("X-Amz-Credential"),
                message.parameter("X-Amz-SignedHeaders"),
                message.parameter("X-Amz-Signature"),
                date=message.parameter("X-Amz-Date"),
                expires=int(expires),
                payload=message.header("x-amz-content-sha256") or None,
            )
            usual = UNSIGNED_PAYLOAD if claim.service == "s3" else EMPTY_HASH
            return claim if claim.payload else _with_payload(claim, usual)
        raise ServiceError(UNSIGNED, _OLD if message.parameter("AWSAccessKeyId") else _NONE, 403)

    @classmethod
    def _of_fields(
        cls,
        credential: str,
        headers: str,
        signature: str,
        *,
        date: str,
        expires: int | None,
        payload: str | None,
    ) -> Claim:
        parts = credential.split("/")
        names = tuple(headers.split(";"))
        if len(parts) != 5 or parts[4] != "aws4_request" or "host" not in names or not signature:
            raise ServiceError(UNSIGNED, "The request's signature is incomplete", 403)
        return cls(parts[0], parts[1], parts[2], parts[3], names, signature, date, expires, payload)

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"

    def check(self, message: Message, key: Key, payload: str, now: datetime | None = None) -> None:
        """
        Args:
            message: the request.
            key: the only one there is.
            payload: `payload`, or the SHA-256 of the body where that is None.
            now: time of day, UTC.

        Raises:
            ServiceError: status 403. Another key, another secret, something changed on the way, too old.
        """
        if not hmac.compare_digest(self.access_key_id.encode(), key.access_key_id.encode()):
            raise ServiceError(UNKNOWN_KEY, "The access key is not the one of this server's root", 403)
        self._check_time(now or datetime.now(UTC))
        if self.expires is None:
            loose = {name for name, _ in message.headers if name.startswith("x-amz-")} - {
                *self.signed_headers
            }
            if loose:
                raise ServiceError(
                    BAD_SIGNATURE, f"Headers that are not signed: {', '.join(sorted(loose))}", 403
                )
        right = False
        for text in self._canonical_requests(message, payload):
            expected = self.sign(key, f"{ALGORITHM}\n{self.date}\n{self.scope}\n{_hash(text)}")
            right |= hmac.compare_digest(expected.encode(), self.signature.encode())
        if not right:
            raise ServiceError(
                BAD_SIGNATURE,
                "The request's signature is not the one that this server's key makes of it",
                403,
            )

    def sign(self, key: Key, text: str) -> str:
        """HMAC of ``text`` with the key of this day, region and service, in hexadecimal."""
        secret = f"AWS4{key.secret_access_key}".encode()
        for part in (self.day, self.region, self.service, "aws4_request"):
            secret = hmac.digest(secret, part.encode(), "sha256")
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()

    def _check_time(self, now: datetime) -> None:
        try:
            signed = datetime.strptime(self.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise ServiceError(
                UNSIGNED, "The request has no X-Amz-Date as in 20300131T235959Z", 403
            ) from None
        if self.date[:8] != self.day:
            raise ServiceError(BAD_SIGNATURE, "The day of the credential is not the day of X-Amz-Date", 403)
        if signed > now + SKEW:
            raise ServiceError(EXPIRED, f"The request is signed for later ({self.date})", 403)
        if now > signed + (SKEW if self.expires is None else timedelta(seconds=self.expires)):
            raise ServiceError(EXPIRED, f"Request has expired (it was signed at {self.date})", 403)

    def _canonical_requests(self, message: Message, payload: str) -> list[str]:
        """What may have been signed: the address as sent, or as the scheme would write it."""
        lines = [
            f"{name}:{','.join(' '.join(value.split()) for key, value in message.headers if key == name)}"
            for name in self.signed_headers
        ]
        rest = "\n".join(("\n".join(lines) + "\n", ";".join(self.signed_headers), payload))
        again = self.service != "s3"  # every other service encodes the path once more
        paths = [
            _encoded(path) if again else path for path in (message.path, _encoded(unquote(message.path)))
        ]
        raw = [item for item in message.query.split("&") if item and not item.startswith("X-Amz-Signature=")]
        sent = sorted((name, value) for name, _, value in (item.partition("=") for item in raw))
        written = sorted((_strict(name), _strict(value)) for name, value in sent)
        queries = ["&".join(f"{name}={value}" for name, value in pairs) for pairs in (sent, written)]
        both = zip(paths, queries, strict=True)
        return ["\n".join((message.method, path, query, rest)) for path, query in dict.fromkeys(both)]


def _with_payload(claim: Claim, payload: str) -> Claim:
    return replace(claim, payload=payload)


def _encoded(path: str) -> str:
    return quote(path, safe="/~")


def _strict(text: str) -> str:
    return quote(unquote(text), safe="-_.~")


def _hash(text: str) -> str:
    """Header values were read as Latin-1, one character a byte."""
    return hashlib.sha256(text.encode("latin-1", errors="replace")).hexdigest()
