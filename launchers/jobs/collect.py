"""What the trials of a job left in S3, brought into run folders; again and again without harm.

A trial that is here already, and has not changed in S3, is neither asked for nor touched.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from launchers.aws.clients import Clients
from launchers.jobs import placing, results
from launchers.jobs.download import Objects
from launchers.jobs.placing import Mark
from launchers.jobs.standing import TRAINING, Job, Trial
from launchers.jobs.table import printable
from sweepmaker.config.errors import UserError
from sweepmaker.profiler import sweep
from sweepmaker.run import disk
from sweepmaker.run.unpack import UnpackError, unpack

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # CreateTrainingJob, TrainingJobName
_TEMPORARY = ".collecting-"


@dataclass
class Collected:
    """What is here now."""

    folders: dict[str, Path] = field(default_factory=dict)
    """Trial -> its run folder."""
    fetched: int = 0
    unchanged: int = 0
    running: int = 0
    problems: list[str] = field(default_factory=list)


def collect(clients: Clients, job: Job, folder: Path, say: Callable[[str], None]) -> Collected:
    """Bring every trial that has ended into ``folder``.

    Args:
        clients: of the job's account and region.
        job: as it stands now.
        folder: of the sweep: each trial gets ``0``, ``1``, ... below it; of a single job: its run folder.
        say: told, as a line, what is worth knowing.

    Raises:
        UserError: S3 refuses or cannot be reached, the disk is full, or somebody collects here already.
            What is complete by then stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = Collected()
    objects = Objects(clients, job.output)
    lines = results.lines_of(folder)
    with _alone(folder):
        places = {job.name: folder} if job.kind == TRAINING else _places(job, folder)
        for trial in job.trials:
            if not trial.ended:
                done.running += 1
            elif trial.name in places:
                one = _Trial(clients, job, trial, places[trial.name], objects, lines)
                _bring(one, folder, done, say)
        if job.kind != TRAINING:
            results.write_sweep(folder, job)
            with disk.naming(folder / sweep.PAGE):
                sweep.write(folder)
    return done


def _places(job: Job, folder: Path) -> dict[str, Path]:
    """Each trial's folder: its number, counted from 0 as Hydra counts; once given it stays."""
    known: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and (mark := placing.read(path)) is not None:
            known[mark.trial] = path
    found: dict[str, Path] = {}
    for number, trial in enumerate(job.trials):
        if not _NAME.fullmatch(trial.name):
            raise UserError(f"{ascii(trial.name)[:80]} is not the name of a training job")
        place = known.get(trial.name, folder / str(number))
        if trial.name not in known and (place.exists() or place in known.values()):
            place = folder / trial.name  # somebody else's is there
        found[trial.name] = place
    return found


@dataclass(frozen=True)
class _Trial:
    clients: Clients
    job: Job
    trial: Trial
    place: Path
    objects: Objects
    lines: Sequence[str]


def _bring(one: _Trial, folder: Path, done: Collected, say: Callable[[str], None]) -> None:
    name = one.trial.name
    there = one.objects.of_trial(name)
    done.folders[name] = one.place
    mark = placing.read(one.place)
    same = mark is not None and mark.whole and (mark.status, dict(mark.objects)) == (one.trial.status, there)
    if same and (one.place / "run.json").exists():
        done.unchanged += 1
        return
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder))
    try:
        try:
            run = _assembled(one, there, temporary, say)
        except UnpackError as error:
            done.problems.append(f"{name}: {error}")
            there = {}  # looked at again the next time
            run = temporary / "none"
            run.mkdir()
        where = {"where": str(one.clients.where.get("name") or "sagemaker"), "region": one.clients.region}
        results.write_record(run, one.job, one.trial, where, one.lines)
        kept = placing.place(run, one.place, Mark(name, one.trial.status, there))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    done.fetched += 1
    for file in kept:
        say(f"{one.place / file} is not from here and stays as it is")


def _assembled(
    one: _Trial, there: Mapping[str, tuple[str, int]], temporary: Path, say: Callable[[str], None]
) -> Path:
    """The run folder made of what lies in S3."""
    one.objects.download(one.trial.name, there, temporary / "s3")
    made: dict[str, Path] = {}
    for part in ("output", "model"):
        made[part] = temporary / part
        archive, plain = temporary / "s3" / f"{part}.tar.gz", temporary / "s3" / part
        if archive.exists():
            try:
                unpacked = unpack(archive, made[part])
            except UnpackError as error:
                raise UnpackError(f"{archive.name} is not unpacked: {printable(error.message)}") from None
            archive.unlink()
            if unpacked.left_out:
                say(f"{one.trial.name}: {unpacked.left_out} links in {archive.name} were left out")
        elif plain.is_dir():
            plain.rename(made[part])
    run = _root(made["output"])
    if made["model"].is_dir() and any(made["model"].iterdir()):
        if (run / "model").exists():
            (run / "model").rename(run / "model.output")
        made["model"].rename(run / "model")
    return run


def _root(output: Path) -> Path:
    """Where the files of ``output/data`` begin: SageMaker may pack that folder itself, beside ``failure``."""
    output.mkdir(exist_ok=True)
    names = {path.name for path in output.iterdir()}
    if "data" in names and names <= {"data", "failure", "success"} and (output / "data").is_dir():
        return output / "data"
    return output


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One collection at a time in one folder; what a killed one left is cleared up."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is collecting into {folder}", fix="wait for it") from None
        for left in folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(handle)
