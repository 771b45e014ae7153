"""The one key that a root's services answer to."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import string
from dataclasses import dataclass, field
from pathlib import Path

from launchers.embedded.root import REGION
from sweepmaker.config.errors import UserError

_ID_LETTERS = string.ascii_uppercase + "234567"  # as AWS's: base 32


@dataclass(frozen=True)
class Key:
    """What requests are signed with. Valid for one root and nowhere else."""

    access_key_id: str
    secret_access_key: str = field(repr=False)

    @classmethod
    def of_root(cls, path: Path) -> Key:
        """The key kept in ``path``; made at random (mode 0600) where there is none.

        Raises:
            UserError: the file is there and is no key.
        """
        if not path.exists():
            _write(path, cls._random())
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(found["access_key_id"]), str(found["secret_access_key"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is not the key of an embedded SageMaker ({error})", fix="remove it"
            ) from None

    @classmethod
    def _random(cls) -> Key:
        return cls(
            "AKIA" + "".join(secrets.choice(_ID_LETTERS) for _ in range(16)),
            secrets.token_urlsafe(30),  # 40 characters
        )


def environment(endpoint_url: str, key: Key) -> dict[str, str]:
    """Variables by which any client reaches the server at ``endpoint_url`` and nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }


def _write(path: Path, key: Key) -> None:
    """Whole or not at all; of two processes that write, the first one's stays."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    text = json.dumps({"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key})
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink()
