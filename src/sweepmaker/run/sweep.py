"""The runs of one Hydra sweep, from their folders."""

from __future__ import annotations

from pathlib import Path

from sweepmaker.run import reader


def failed_runs(folder: str | Path) -> tuple[list[tuple[Path, str, str]], int]:
    """Runs of the sweep in ``folder`` that failed, as (folder, overrides, message), and the number of all."""
    failed, total = [], 0
    for path in sorted(Path(folder).glob("*/run.json"), key=lambda path: path.parent.name.zfill(9)):
        record = reader.read(path.parent)
        total += 1
        if record is not None and record["state"] == "failed":
            message = (record.get("failure") or {}).get("message", "").partition("\n")[0]
            failed.append((path.parent, " ".join(record["overrides"]), message))
    return failed, total
