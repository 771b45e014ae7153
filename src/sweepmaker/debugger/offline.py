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

_UNSEEN = "it was off in this run, and what it looks at was not observed"


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
    if not asked.rules:
        raise ConfigError(
            "there are no rules to ask", key="debugger", allowed="sane, aws, or rules of your own"
        )
    names, observations = _read(folder)
    unseen = _answerable(asked, names, folder)
    engine = Engine([one for one in asked.rules if one.name not in unseen])
    engine.own = names.own
    ended = False
    for observation in observations:
        engine.show(observation)
        ended = type(observation).__name__ == "End"
    if ended:
        engine.end("NoIssuesFound")
    for one in asked.rules:
        if one.name in unseen:
            engine.reports[one.name] = findings.Report(one.rule.parameters, "Error", _UNSEEN)
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
    return f"{folder}\n{findings.table(reports, place='')}"


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


def _answerable(asked: Settings, names: Names, folder: Path) -> list[str]:
    """The rules whose observations were not taken at all, because they were off.

    Raises:
        ConfigError: some were taken with other settings, and are gone.
    """
    others, unseen = [], []
    for one in asked.rules:
        # a run of an older version names the bounds of activations without their rule
        known = {
            name.rpartition(".")[2]: value
            for name, value in names.settings.items()
            if name.startswith(f"{one.name}.") or "." not in name
        }
        if names.settings and one.rule.recorded() and not known:
            unseen.append(one.name)
        for parameter, was, now in one.rule.cannot_answer(known):
            others.append((f"debugger.rules.{one.name}.{parameter}", _text(was), _text(now)))
    if others:
        key, was, now = others[0]
        raise ConfigError(
            f"{folder} was observed with {was}, and cannot be asked with {now}", key=key,
            fix=" ".join(f"{key}={was}" for key, was, _ in others) + ", or train again",
        )  # fmt: skip
    return unseen


def _text(value: object) -> str:
    return "null" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)
