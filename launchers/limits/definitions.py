"""The training job definitions of a tuning job, whether it has one or a list of them.

Source: CreateHyperParameterTuningJob and HyperParameterTrainingJobDefinition, API reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from launchers.limits.at import At, Violation
from launchers.limits.job import twice


@dataclass(frozen=True)
class Definition:
    """One definition, with its objective and its ranges wherever they stand."""

    job: At
    objective: At
    ranges: At


def definitions(request: At) -> list[Definition]:
    """What the tuning job's training jobs are made from."""
    several = request["TrainingJobDefinitions"]
    if several.given:
        return [
            Definition(one, one["TuningObjective"], one["HyperParameterRanges"]) for one in several.items()
        ]
    config = request["HyperParameterTuningJobConfig"]
    objective = config["HyperParameterTuningJobObjective"]
    return [Definition(request["TrainingJobDefinition"], objective, config["ParameterRanges"])]


def placement(request: At) -> Iterator[Violation]:
    """Exactly one of definition and definitions, and the objective and the ranges where they belong."""
    one, several = request["TrainingJobDefinition"], request["TrainingJobDefinitions"]
    if one.given and several.given:
        yield several.bad("is set beside TrainingJobDefinition", "one of the two", "leave one out")
    if not one.given and not several.given:
        yield one.bad("is missing", "TrainingJobDefinition, or a list in TrainingJobDefinitions")
    config = request["HyperParameterTuningJobConfig"]
    moved = (
        ("HyperParameterTuningJobObjective", "TuningObjective"),
        ("ParameterRanges", "HyperParameterRanges"),
    )
    for general, own in moved:
        if several.given and config[general].given:
            yield config[general].bad(
                "does not go with TrainingJobDefinitions", f"{own} in each definition", "move it there"
            )
        if not several.given and one[own].given:
            yield one[own].bad(
                "does not go with a single TrainingJobDefinition", f"{config.path}.{general}", "move it there"
            )
    items = several.items()
    for item in items:
        if not item["DefinitionName"].given:
            yield item["DefinitionName"].bad("is missing", "a name in each of the definitions")
    yield from twice([item["DefinitionName"] for item in items], "definition")
