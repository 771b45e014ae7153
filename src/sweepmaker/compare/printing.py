"""Text of run folders for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Without characters that would move a terminal's cursor or colour it."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
