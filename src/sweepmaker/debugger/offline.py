"""Rules asked again, with other thresholds, over what a finished or running run has stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.debugger import findings, store
from sweepmaker.debugger.engine import Engine
from sweepmaker.debugger.observations import Names, Observation, Reader
from sweepmaker.debugger.rules import Finding
from sweepmaker.debugger.settings import Settings, check


def reevaluate(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What rules with ``settings`` find in a run; nothing is written.

    Args:
        folder: of the run, made here or collected.
        settings: a ``debugger`` node as plain values.

    Returns:
        a document as ``debugger/findings.json`` is. Rules over a run that has not ended are InProgress.

    Raises:
        ConfigError: a wrong setting, or one that the observations were already taken with.
        UserError: the run has no observations, or they cannot be read.
    """
    asked = check(settings)
    names, observations = _read(folder)
    _same_as_recorded(asked, names, folder)
    engine = Engine(asked.rules)
    ended = False
    for observation in observations:
        engine.show(observation)
        ended = type(observation).__name__ == "End"
    if ended:
        engine.end("NoIssuesFound")
    return findings.document(asked.preset, engine.reports)


def show(folder: Path, document: Mapping[str, Any]) -> str:
    """A document of `reevaluate` as text: the run, then its table."""
    reports = {
        name: findings.Report(
            entry["parameters"], entry["status"], entry["reason"], entry["count"],
            [Finding(**finding) for finding in entry["findings"]],
        )
        for name, entry in document["rules"].items()
    }  # fmt: skip
    return f"{folder}\n{findings.table(reports)}"


def _read(folder: Path) -> tuple[Names, list[Observation]]:
    path = folder / "debugger" / store.NAME
    if not path.is_file():
        raise UserError(
            f"{folder} has no observations (debugger/{store.NAME})",
            key="runs", fix="runs that were trained with debugger=sane or debugger=aws",
        )  # fmt: skip
    reader = Reader()
    try:
        observations = list(reader.read_all(store.read(path)))
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return reader.names, observations


def _same_as_recorded(asked: Settings, names: Names, folder: Path) -> None:
    """Activations were counted against these bounds while they were there, and are gone."""
    others = []
    for one in asked.rules:
        for parameter in one.rule.RECORDED:
            known = names.settings
            was, now = (
                known.get(f"{one.name}.{parameter}", known.get(parameter)),
                one.rule.parameters[parameter],
            )
            if was is not None and was != now:
                others.append((f"debugger.rules.{one.name}.{parameter}", was, now))
    if others:
        key, was, now = others[0]
        raise ConfigError(
            f"{folder} was observed with {was:.7g}, and cannot be asked with {now:.7g}", key=key,
            fix=" ".join(f"{key}={was:.7g}" for key, was, _ in others) + ", or train again",
        )  # fmt: skip
