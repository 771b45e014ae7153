"""Faults on request: what AWS does to jobs now and then, to be rehearsed here.

They are kept in ``ROOT/faults.json``, so that they can be asked for before and while the server runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from launchers.embedded.errors import ServiceError
from launchers.embedded.root import Root
from sweepmaker.config.errors import ConfigError
from sweepmaker.run.atomic import write_json

KINDS = {
    "interrupt": "a spot interruption: SIGTERM, then the job starts again under its name (spot jobs only)",
    "capacity": "the job fails for lack of machines",
    "throttle": "every k-th call to SageMaker is answered with ThrottlingException",
}
_KEYS: dict[str, dict[str, Callable[[str], Any]]] = {
    "interrupt": {"after_s": float, "after_steps": int, "job": str, "times": int},
    "capacity": {"job": str, "times": int},
    "throttle": {"every": int},
}
_STEP = " step="


class Faults:
    """The faults of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._calls = 0
        self._told = ""

    def all(self) -> list[dict[str, Any]]:
        """As they were asked for, with the times that are left.

        Raises:
            ConfigError: somebody has edited the file, and it is no list of faults any more.
        """
        try:
            found = json.loads(self._root.faults.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            raise self._broken(str(error)) from None
        if not isinstance(found, list):
            raise self._broken("no list")
        for fault in found:
            if not isinstance(fault, dict) or not _is_one(fault):
                raise self._broken(f"{ascii(fault)[:200]} is no fault")
        return found

    def _broken(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self._root.faults} cannot be read: {why}",
            fix="python -m launchers.embedded fault clear --root DIR, and ask for them anew",
        )

    def _good(self) -> list[dict[str, Any]]:
        """For the server: a broken file stands for no faults, and is told once."""
        try:
            found = self.all()
        except ConfigError as error:
            if str(error) != self._told:
                print(f"no faults: {error}", file=sys.stderr, flush=True)
            self._told = str(error)
            return []
        self._told = ""
        return found

    def ask_for(self, kind: str, words: list[str]) -> dict[str, Any]:
        """Add a fault.

        Raises:
            ConfigError: no such fault or key, or a value that does not fit.
        """
        fault = _parsed(kind, words)
        with self._changed() as faults:
            faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._locked():
            self._root.faults.unlink(missing_ok=True)

    def before_call(self, operation: str) -> None:
        """
        Raises:
            ServiceError: this call is one to be throttled.
        """
        every = [fault["every"] for fault in self._good() if fault["kind"] == "throttle"]
        if every:
            self._calls += 1
            if self._calls % min(every) == 0:
                raise ServiceError("ThrottlingException", "Rate exceeded")

    def capacity(self, job: str) -> bool:
        """Whether ``job`` is to find no machine; counted."""
        return self._take("capacity", job, lambda fault: True)

    def interrupts(self, job: str, *, seconds: float, line: str | None) -> bool:
        """Whether a spot job is to be interrupted now; counted.

        Args:
            job: name of the training job.
            seconds: since this attempt began to train.
            line: its newest line that names a step, or None.
        """

        def due(fault: dict[str, Any]) -> bool:
            if "after_s" in fault and seconds >= fault["after_s"]:
                return True
            return "after_steps" in fault and line is not None and _step(line) >= fault["after_steps"]

        return self._take("interrupt", job, due)

    def _take(self, kind: str, job: str, due: Callable[[dict[str, Any]], bool]) -> bool:
        if not self._root.faults.exists():  # looked at often
            return False

        def fits(fault: dict[str, Any]) -> bool:
            return fault["kind"] == kind and fnmatch.fnmatchcase(job, fault.get("job", "*")) and due(fault)

        if not any(fits(fault) for fault in self._good()):
            return False
        with contextlib.suppress(ConfigError), self._changed() as faults:
            for fault in faults:
                if fits(fault):
                    fault["times"] -= 1
                    if not fault["times"]:
                        faults.remove(fault)
                    return True
        return False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._root.folder / "faults.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _changed(self) -> Iterator[list[dict[str, Any]]]:
        with self._locked():
            faults = self.all()
            yield faults
            if faults:
                write_json(self._root.faults, faults)
            else:
                self._root.faults.unlink(missing_ok=True)


def _is_one(fault: dict[str, Any]) -> bool:
    """Whether it is what `_parsed` makes of words."""
    kind = fault.get("kind")
    words = [f"{key}={value}" for key, value in fault.items() if key != "kind"]
    try:
        return isinstance(kind, str) and _parsed(kind, words) == fault
    except ConfigError:
        return False


def check(kind: str, words: list[str]) -> None:
    """Raises ConfigError for words that `Faults.ask_for` would refuse."""
    _parsed(kind, words)


def has_step(line: str) -> bool:
    return _STEP in line


def _step(line: str) -> int:
    digits = line.rpartition(_STEP)[2].split(";")[0].split(" ")[0]
    return int(digits) if digits.isdecimal() else -1


def _parsed(kind: str, words: list[str]) -> dict[str, Any]:
    if kind not in KINDS:
        allowed = "; ".join(f"{name} ({text})" for name, text in KINDS.items())
        if kind == "clear":
            raise ConfigError("clear takes no words: it forgets all faults", fix="fault clear")
        raise ConfigError(f"{kind!r} is no fault", allowed=f"{allowed}; clear (forgets them)")
    fault: dict[str, Any] = {"kind": kind}
    keys = _KEYS[kind]
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in keys:
            raise ConfigError(
                f"{word!r} does not go with {kind}", allowed=", ".join(f"{k}=..." for k in keys)
            )
        try:
            fault[key] = keys[key](value)
        except ValueError:
            words_ = "a number" if keys[key] is float else "a whole number"
            raise ConfigError(f"is {value!r}", key=key, allowed=words_) from None
        if not isinstance(fault[key], str) and not fault[key] >= (0 if key.startswith("after") else 1):
            raise ConfigError(f"is {value}", key=key, allowed="a positive number")
        if fault[key] == "":
            raise ConfigError("is empty", key=key, allowed="a job's name, * and ? for any characters")
    if kind == "interrupt" and len({"after_s", "after_steps"} & set(fault)) != 1:
        raise ConfigError("interrupt needs one moment", allowed="after_s=SECONDS or after_steps=STEPS")
    if kind == "throttle" and "every" not in fault:
        raise ConfigError("throttle needs to know how often", allowed="every=K")
    if kind != "throttle":
        fault.setdefault("times", 1)
    return fault
