"""The service model's regular expressions, written for Java, as Python reads them.

Three things differ: Unicode classes (``\\p{L}``), surrogate pairs, and what ``.``, ``\\d``, ``\\w`` and
``\\s`` take in (java.util.regex.Pattern, "Line terminators" and "Predefined character classes").
"""

from __future__ import annotations

import functools
import re
import unicodedata

# Python has no \p{L}: a character beyond ASCII is replaced by one that stands for its whole class,
# in the text as in the pattern, since building the real class means looking at a million characters.
_STANDS_FOR = {kind: chr(0xE000 + index) for index, kind in enumerate("LMNPSZC")}
_NAMED = {"Alnum": "A-Za-z0-9", "Alpha": "A-Za-z", "Digit": "0-9", "Lower": "a-z", "Upper": "A-Z"}
_SURROGATES = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_CLASS = re.compile(r"\\p\{(\w+)\}")
_ANY = "[^\\n\\r\\x85\\u2028\\u2029]"
# A quantifier behind "$" (a slip in the model's tag patterns) means nothing to Java and is an error here.
_QUANTIFIED_END = re.compile(r"\$\{\d+,\d+\}")
# Patterns that, word for word, take exponential time on some texts, each with one that means the same.
_QUICKER = {
    ".*(?:[ \\r\\n\\t].*)*": "[^\\x85\\u2028\\u2029]*",
    ".*(?:[ \\r\\n\\t].*)*.*": "[^\\x85\\u2028\\u2029]*",
    "[a-z0-9]([-a-z0-9]*[a-z0-9]){0,39}?": "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "https://([.\\-_a-zA-Z0-9]+/?){3,1016}": (
        "https://(?=([.\\-_a-zA-Z0-9]/?){3})[.\\-_a-zA-Z0-9]+(/[.\\-_a-zA-Z0-9]+)*/?"
    ),
}


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of ``text`` matches a pattern of the service model.

    Raises:
        ValueError: a pattern of the model that neither Python nor this translation can read.
    """
    compiled, by_class = _compiled(pattern)
    if by_class:
        text = "".join(character if character < "\x80" else _class_of(character) for character in text)
    return compiled.fullmatch(text) is not None


@functools.cache
def _compiled(pattern: str) -> tuple[re.Pattern[str], bool]:
    """The translated pattern, and whether it has classes that the text must be translated for."""
    by_class = any(kind in _STANDS_FOR for kind in _CLASS.findall(pattern))
    python = _QUICKER.get(pattern) or _dots(_QUANTIFIED_END.sub("$", pattern))
    python = _SURROGATES.sub(_joined, _CLASS.sub(_spelled, python))
    try:
        return re.compile(python, re.ASCII), by_class
    except re.error as error:
        raise ValueError(f"the service model's pattern {pattern!r} cannot be read: {error}") from error


def _class_of(character: str) -> str:
    return _STANDS_FOR[unicodedata.category(character)[0]]


def _spelled(found: re.Match[str]) -> str:
    kind = found[1]
    if kind not in _STANDS_FOR:
        # an unknown name is left as it is, so that compiling it says so
        return _NAMED.get(kind, found[0])
    ascii_part = (chr(code) for code in range(128) if unicodedata.category(chr(code))[0] == kind)
    return re.escape("".join(ascii_part)) + _STANDS_FOR[kind]


def _joined(found: re.Match[str]) -> str:
    high, low = int(found[1], 16), int(found[2], 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _dots(pattern: str) -> str:
    """``pattern`` with the dots outside of classes as Java means them."""
    parts = re.findall(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[\s\S]", pattern)
    return "".join(_ANY if part == "." else part for part in parts)
