"""Texts for people: account ids, keys and tokens never stand there in full."""

from __future__ import annotations

import re

NO_ACCOUNT = "000000000000"
"""The placeholder of a dry run; it is nobody's account, so it may stand in full."""

_ACCOUNT = re.compile(r"(?<!\d)(\d{4})\d{4}(\d{4})(?!\d)")
# unique ids of IAM: users, roles, groups, keys (IAM user guide, "IAM identifiers")
_KEY_ID = re.compile(r"\b(A(?:KIA|SIA|IDA|ROA|GPA|NPA|IPA|BIA|CCA))[A-Z0-9]{8,}([A-Z0-9]{4})\b")
_NAMED = re.compile(
    r"""((?:secret[_-]?access[_-]?key|session[_-]?token|security[_-]?token|x-amz-signature|signature
        |authorization|password|auth[_-]?token)["']?\s*[=:]\s*["']?(?:bearer\s+)?)[^\s"'&,;<>]+""",
    re.IGNORECASE | re.VERBOSE,
)
_IN_URL = re.compile(r"(\w+://)[^/\s@]+@")  # a proxy's user and password
# a secret key is 40 characters of base64, a session token hundreds; a commit or a digest is hex
_BASE64 = re.compile(r"(?<![A-Za-z0-9/+=_-])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_-])|[A-Za-z0-9/+=_-]{120,}")


def masked(text: object) -> str:
    """``text`` as it may be shown: ``1234****9012``, ``AKIA****WXYZ``; applying it twice changes nothing."""
    shown = _NAMED.sub(r"\1****", str(text))
    shown = _IN_URL.sub(r"\1****@", shown)
    shown = _BASE64.sub(lambda found: "****" if _looks_secret(found[0]) else found[0], shown)
    shown = _KEY_ID.sub(r"\1****\2", shown)
    return _ACCOUNT.sub(
        lambda found: found[0] if found[0] == NO_ACCOUNT else f"{found[1]}****{found[2]}", shown
    )


def _looks_secret(word: str) -> bool:
    """Mixed case and digits, and few slashes, as random base64 has; a path of that length rarely does."""
    kinds = (str.isupper, str.islower, str.isdigit)
    mixed = all(any(kind(letter) for letter in word) for kind in kinds)
    return mixed and word.count("/") * 10 <= len(word)
