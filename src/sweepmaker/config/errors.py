"""Errors that a user can mend: one message each, no traceback, and the exit code that says which kind.

The codes are the whole house's contract: 0 completed (or stopped by a rule or early), 1 failed,
2 configuration, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_CONFIG = 2


class UserError(Exception):
    """Something that the user can mend; printed as one message, without a traceback.

    Args:
        message: what is wrong, naming the key or the file.
        key: the config key at fault, where there is one.
        allowed: what is allowed there.
        fix: what to do, best as a line to paste.
    """

    exit_code = EXIT_FAILED

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        allowed: str | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        self.allowed = allowed
        self.fix = fix

    def __str__(self) -> str:
        head = f"{self.key}: {self.message}" if self.key else self.message
        lines = [head]
        if self.allowed:
            lines.append(f"  allowed: {self.allowed}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class ConfigError(UserError):
    """The configuration or the command line is wrong; found before any work was done."""

    exit_code = EXIT_CONFIG


class DataError(UserError):
    """The data turned out to be wrong while the program ran (a file that cannot be decoded, ...)."""
