"""From ``run=`` to a model folder: whose model is meant."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sweepmaker.config import argv
from sweepmaker.config.errors import ConfigError
from sweepmaker.serving.settings import WHOSE, Options

_MODEL = "model"
_FILE = "model.json"
_WEIGHTS = "model.safetensors"


def model_folder(options: Options) -> Path:
    """The model folder that ``run`` and ``runs`` mean.

    Raises:
        ConfigError: there is none; the message lists what is there.
    """
    run = options.run
    if run in (None, "best"):
        return _of_best(options.runs)
    assert run is not None
    try:
        path = Path(run).expanduser()
        is_there, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{run[:80]!r} is no name of a folder: {error}", key="run", allowed=WHOSE
        ) from error
    if not is_there:
        return _of_job(run)
    if not is_folder:
        raise ConfigError(f"{run} is a file", key="run", allowed=WHOSE)
    if (path / _FILE).is_file():
        return path
    if (path / _MODEL / _FILE).is_file():
        return path / _MODEL
    if (path / _WEIGHTS).is_file():
        return path  # half of a model: whoever reads it says which half is missing
    if (path / "run.json").is_file() or (path / ".hydra").is_dir():
        raise _without_model(path)
    return _of_best((run,))


def _of_best(runs: tuple[str, ...] | None) -> Path:
    """The best run's model, of those that ``runs`` name; as ``compare.py best=true`` has it."""
    from sweepmaker.compare import ranking, reading
    from sweepmaker.compare.select import select

    selected = select(runs)
    found = [reading.read(folder) for folder in selected.folders]
    judged = ranking.judged(found, ranking.goal(found, None, None))
    chosen = ranking.best(judged)
    if chosen is None:
        raise ConfigError(
            f"none of {len(found)} runs has a value to be the best by", key="run", allowed=WHOSE,
            fix="python compare.py " + " ".join(argv.word("runs", one) for one in runs or ()),
        )  # fmt: skip
    folder = chosen.folder / _MODEL
    if not (folder / _FILE).is_file():
        raise _without_model(chosen.folder)
    assert chosen.objective is not None
    print(f"best: {chosen.folder}  {chosen.objective.name}={chosen.value:.6g}", file=sys.stderr)
    return folder


def _of_job(name: str) -> Path:
    """The collected sweep or job whose name it is."""
    from sweepmaker.run import untrusted

    known: list[str] = []
    for root in (Path("multirun"), Path("outputs")):
        for file in sorted(root.glob("*/*/launch.json")):
            try:
                said = json.loads(untrusted.read_inside(file.parent, file.name))
                found = str(said["name"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if found == name:
                return _of_best((str(file.parent),))
            known.append(found)
    there = f"; jobs here: {', '.join(known[-5:])}" if known else ""
    raise ConfigError(f"there is no folder and no job {name}{there}", key="run", allowed=WHOSE,
                      fix="python compare.py shows the runs that there are")  # fmt: skip


def _without_model(folder: Path) -> ConfigError:
    return ConfigError(
        f"{folder} holds no model: the run has not completed, or was made without one",
        key="run",
        fix=argv.resume_line(folder),
    )
