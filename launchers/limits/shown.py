"""A value of a request as it may stand in a message: short, printable, without secrets."""

from __future__ import annotations

import re
import reprlib

LONGEST = 60  # characters
HIDDEN = "(hidden)"

# Published prefixes of keys and tokens, and where a secret stands inside another text.
_KEYS = {
    # IAM user guide, "IAM identifiers"
    "an AWS access key": re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22})"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30}"),
    "an address with a password": re.compile(r"://[^/\s:@]{0,256}:[^/\s@]{1,256}@"),
}
_ACCOUNT = re.compile(r"(?<!\d)(?!0{12})(\d{4})\d{4}(\d{4})(?!\d)")


def secret_in(text: str) -> str:
    """What kind of secret ``text`` holds, in words; empty where it holds none that shows by its form."""
    return next((what for what, form in _KEYS.items() if form.search(text)), "")


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict = 2, 4, 4, 4
        self.maxstring = self.maxother = LONGEST

    def repr_str(self, x: str, level: int) -> str:
        if secret_in(x):
            return HIDDEN
        return _ACCOUNT.sub(r"\1****\2", super().repr_str(x, level))

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write out numbers of more than 4300 digits
        return super().repr_int(x, level) if x.bit_length() < 1000 else "a number of hundreds of digits"


_brief = _Brief()


def shown(value: object) -> str:
    """``value`` as Python writes it, at most `LONGEST` characters, secrets hidden, accounts masked."""
    text = _brief.repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
