"""Files that by their names hold a secret, and never travel."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from launchers.jobs import git_files
from sweepmaker.config.errors import ConfigError

# Of a file's own name, in lower case.
FILES = (
    ".env", ".env.*", "*.env", ".envrc",
    "*.pem", "*.key", "*.p12", "*.pfx", "*.ppk", "*.jks", "*.keystore", "*.kdbx",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519",
    ".netrc", "_netrc", ".pgpass", ".pypirc", ".npmrc", ".git-credentials", ".htpasswd",
    "credentials", "credentials.*", "*accesskeys.csv", "kaggle.json",
    "service-account*.json", "service_account*.json", "client_secret*.json",
    "secrets.yaml", "secrets.yml", "secrets.json", "secrets.toml",
)  # fmt: skip
FOLDERS = (".aws", ".ssh", ".gnupg", ".kaggle")
# Made to be read: the names of the variables without their values.
HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist", "credentials.py")


def is_secret(name: str) -> bool:
    """Whether a file of this name (relative, with ``/``) holds a secret, as far as a name can tell."""
    path = PurePosixPath(name.lower())
    if any(part in FOLDERS for part in path.parts[:-1]):
        return True
    return path.name not in HARMLESS and any(fnmatchcase(path.name, pattern) for pattern in FILES)


def refuse(checkout: Path, names: Collection[str], tracked: Collection[str]) -> None:
    """Stop if one of ``names`` is a secret; ``tracked`` are those that git has.

    Raises:
        ConfigError: with the lines that take them out of git and keep them out.
    """
    found = sorted(name for name in names if is_secret(name))
    if not found:
        return
    listed = ", ".join(shlex.quote(name) for name in found[:5]) + (" ..." if len(found) > 5 else "")
    ignored = shlex.join(f"/{name}" for name in found)
    steps = [f"printf '%s\\n' {ignored} >> {shlex.quote(str(checkout / '.gitignore'))}"]
    in_git = [name for name in found if name in tracked]
    if in_git:
        steps.insert(0, git_files.command(checkout, "rm", "--cached", names=in_git))
    raise ConfigError(
        f"looks like a secret by its name, and would be uploaded with the code: {listed}",
        allowed="secrets stay out of the bundle; a file that holds none must be renamed",
        fix=" && ".join(steps) + ("; what was pushed to others needs replacing too" if in_git else ""),
    )
