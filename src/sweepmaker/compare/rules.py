"""``action=rules``: the debugger's rules asked again over the runs that are selected."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.debugger import offline


def show(folders: Sequence[Path], asked: Mapping[str, Any], form: str) -> None:
    """What the rules find in each run, on stdout; a run that has stored nothing is named on stderr.

    Args:
        folders: of the runs.
        asked: a ``debugger`` node as plain values.
        form: ``table``, or ``json``: ``{"runs": [{"folder": ..., "rules": {...}}]}``.

    Raises:
        ConfigError: another form, or a wrong setting of a rule.
        UserError: none of the runs has observations.
    """
    if form not in ("table", "json"):
        raise ConfigError(f"{form!r} is not for action=rules", key="format", allowed="table, json")
    found: list[tuple[Path, dict[str, Any]]] = []
    for folder in folders:
        try:
            found.append((folder, offline.reevaluate(folder, asked)))
        except ConfigError:
            raise
        except UserError as error:
            if len(folders) == 1:
                raise
            print(error.message, file=sys.stderr)
    if not found:
        raise UserError(
            f"none of these {len(folders)} runs has observations",
            key="runs",
            fix="runs that were trained with debugger=sane or debugger=aws",
        )
    if form == "json":
        runs = [{"folder": str(folder), **document} for folder, document in found]
        print(json.dumps({"runs": runs}, indent=2, ensure_ascii=False))
        return
    print("\n\n".join(offline.show(folder, document) for folder, document in found))
