"""Secrets stay out of requests: whatever is sent comes back from Describe calls and stands in logs.

Source: CreateTrainingJob and CreateHyperParameterTuningJob, API reference ("Do not include any
security-sensitive information ... in any hyperparameter, environment or tag fields").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from launchers.limits.at import Violation, entry, member_of
from launchers.limits.shown import HIDDEN, secret_in, shown

ALLOWED = "no secrets: hyperparameters, environment and tags are shown by every Describe call"
FIX = "keep it in AWS Secrets Manager, read it with the execution role, and send at most its name or ARN"

_NAMED_MAPS = ("StaticHyperParameters", "HyperParameters", "Environment")
_SECRET = re.compile(r"SECRET|PASSW(OR)?D|PASSPHRASE|CREDENTIAL|(API|ACCESS|PRIVATE)[_.-]?KEY", re.IGNORECASE)
# "tokenizer", "max_tokens=512" and "class_token=true" are settings of models
_TOKEN = re.compile(r"TOKEN(?!I[SZ])", re.IGNORECASE)
_REFERENCE = re.compile(r"[_.-](ARN|NAME|FILE|PATH|DIR)$", re.IGNORECASE)
_SWITCH = re.compile(r"(true|false|yes|no|on|off|null|none)?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE)
_DEEPEST = 60  # no shape of the service nests that deep


def take_out(request: Any) -> tuple[Any, list[Violation]]:
    """``request`` with its secrets replaced by "(hidden)", and a violation for each; the messages of the
    other rules are made from that copy.
    """
    found: list[Violation] = []
    return _cleaned(request, "", found, 0), found


def secret_by_name(name: str, value: object) -> bool:
    """Whether a value under that name is to be taken for a secret.

    References (an ARN, the name or the file of a secret) and switches are not.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float) or _REFERENCE.search(name):
        return False
    if isinstance(value, str) and (_SWITCH.fullmatch(value) or value.startswith("arn:")):
        return False
    if _SECRET.search(name):
        return True
    return bool(_TOKEN.search(name)) and isinstance(value, str) and not _NUMBER.fullmatch(value)


def _cleaned(value: Any, path: str, found: list[Violation], depth: int) -> Any:
    if isinstance(value, str):
        kind = secret_in(value)
        return _hidden(path, f"holds {kind}", found) if kind else value
    if depth > _DEEPEST:
        return value
    if isinstance(value, Mapping):
        return {key: _member(value, key, path, found, depth) for key in value}
    if isinstance(value, list | tuple):
        return [_cleaned(item, f"{path}[{index}]", found, depth + 1) for index, item in enumerate(value)]
    return value


def _member(parent: Mapping[Any, Any], key: Any, path: str, found: list[Violation], depth: int) -> Any:
    value = parent[key]
    if path.endswith(_NAMED_MAPS):
        where = entry(path, key)
        if secret_by_name(str(key), value):
            return _hidden(where, "looks like a secret by its name", found)
        return _cleaned(value, where, found, depth + 1)
    where = member_of(path, key)
    tag = parent.get("Key")
    if key == "Value" and isinstance(tag, str) and secret_by_name(tag, value):
        return _hidden(where, f"the value of tag {shown(tag)} looks like a secret by its name", found)
    return _cleaned(value, where, found, depth + 1)


def _hidden(path: str, message: str, found: list[Violation]) -> str:
    found.append(Violation(path, message, ALLOWED, FIX))
    return HIDDEN
