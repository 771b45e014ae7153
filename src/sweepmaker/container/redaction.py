"""Text for people and tables without the keys and tokens that slipped into it."""

from __future__ import annotations

import os
import re

HIDDEN = "[hidden]"

_LONGEST = 8192  # characters looked at; the rest is cut off
_SHORTEST = 8  # characters of a variable's value that is taken for a secret
_NAME = re.compile(
    r"SECRET|TOKEN|PASSW|CREDENTIAL|PRIVATE|AUTH(?!OR)|ACCESS_KEY|API_?KEY|_KEY$", re.IGNORECASE
)
_PATTERNS = (
    re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}"),  # AWS's key and principal ids
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),  # https://user:password@host
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"\b(?:hf|gh[pousr]|github_pat|glpat|sk|xox[bp])[_-][A-Za-z0-9_-]{16,}"),
    re.compile(  # X-Amz-Signature=..., aws_secret_access_key: ..., "password": "..."
        r"(?i)(?:secret|token|signature|credential|passw(?:or)?d|api_?key)"
        r"[A-Za-z0-9_-]{0,32}[\"']?\s{0,4}[=:]\s{0,4}[\"']?(?P<secret>[^\s\"'&,;]{6,})"
    ),
)


def without_secrets(text: str) -> str:
    """``text`` without what looks like a key or a token, and without the values of secret variables."""
    text = text[:_LONGEST]
    values = [value for name, value in os.environ.items() if _NAME.search(name) and len(value) >= _SHORTEST]
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(_hide, text)
    return text


def _hide(found: re.Match[str]) -> str:
    secret = found.groupdict().get("secret") or found[0]
    return found[0].replace(secret, HIDDEN)
