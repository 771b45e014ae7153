"""What the embedded SageMaker costs: a trial's start, a trial that does nothing, a thousand that are done.

The start is from process creation to the composed task function, with everything imported that training
needs: forked by the server's runtime against a fresh `python train.py`. Wall time.

    python benchmarks/trial_overhead.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing import ONE_THREAD, ROOT, Ratio, Report, finish, interleave, paired_ratio
from benchmarks.timing import parser as make_parser
from launchers.embedded import tree
from launchers.embedded.api import documents
from launchers.embedded.runtimes import open_runtime
from launchers.embedded.runtimes.spec import Runtime, TrialSpec
from launchers.embedded.state import State
from sweepmaker.container.overrides import STATIC_FILE, dump_static
from tests.embedded.sweeping import Whole, end_of_tuning, tuning

TRIALS, FINISHED = 50, 1000
NOTHING = "print('[metric] score=1 epoch=0 step=1;', flush=True)\n"
# In place of train.py's own last lines: what run() imports, then the moment, and nothing is trained.
TASK = """
    from sweepmaker.run import task, training
    import time
    print(f"composed {time.monotonic()} {cfg.epochs}", flush=True)
"""


def bundle(folder: Path) -> Path:
    """A copy of the checkout's code whose task function tells when it is reached."""
    for name in ("src", "conf"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    head, _, rest = (ROOT / "train.py").read_text().partition("    from sweepmaker.run.task import run\n")
    tail = rest.partition("    return run(cfg)\n")[2]
    (folder / "train.py").write_text(head + TASK + tail)
    (folder / STATIC_FILE).write_bytes(dump_static(["+experiment=b2"]))
    archive = folder / "sourcedir.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("src", "conf", "train.py", STATIC_FILE):
            tar.add(folder / name, name)
    return archive


def reached(text: str) -> float:
    """The moment that the task function told."""
    line = next((line for line in text.splitlines() if line.startswith("composed ")), None)
    if line is None:
        raise SystemExit(f"the task function was not reached:\n{text[-2000:]}")
    return float(line.split()[1])


def fresh(folder: Path) -> float:
    """Seconds from the start of ``python train.py`` to its task function."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "train.py", "+experiment=b2", f"hydra.run.dir={folder}/run"],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    return reached(done.stdout + done.stderr) - started


def forked(runtime: Runtime, folder: Path, archive: Path) -> float:
    """The same from the runtime's start of a trial."""
    here = folder / f"trial-{time.monotonic_ns()}"
    here.mkdir()
    spec = TrialSpec(
        name=here.name, ml=here / "ml",
        hyperparameters={
            "sagemaker_program": "src/sweepmaker/container/entry.py",
            "sagemaker_submit_directory": "s3://bucket/code.tar.gz",
        },
        environment={"TRAINING_JOB_NAME": here.name}, channels={}, instance_type="ml.m5.large",
        checkpoint_path=None, image="", entrypoint=None, cores=(),
        threads=1, gpus=(), code=archive,
    )  # fmt: skip
    tree.write(spec.ml, job=spec)
    started = time.monotonic()
    handle = runtime.start(spec, here / "log")
    handle.wait(120)
    return reached((here / "log").read_text()) - started


def starts(report: Report, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = bundle(folder)
        runtime = open_runtime("fork", root=folder / "root")
        (folder / "root").mkdir()
        try:
            candidates: dict[str, Callable[[], float]] = {
                "python train.py": lambda: fresh(folder),
                "a forked trial": lambda: forked(runtime, folder, archive),
            }
            figures = interleave(candidates, repeats=repeats)
        finally:
            runtime.close()
    for one, values in figures.items():
        report.add(f"start of {one}", values)
    ratio = paired_ratio(figures["python train.py"], figures["a forked trial"])
    report.ratios.append(Ratio("a forked trial's start, times cheaper than python train.py", ratio, 15))


def doing_nothing(report: Report, repeats: int) -> None:
    """The wall time of a tuning job of trials that do nothing, for each trial."""
    with tempfile.TemporaryDirectory() as name, Whole(Path(name, "root")) as whole:
        code = whole.put_script(NOTHING)
        figures = []
        for number in range(repeats + 1):
            request = tuning(whole, f"nothing-{number}", code, jobs=TRIALS, parallel=1)
            started = time.monotonic()
            whole.client("sagemaker").create_hyper_parameter_tuning_job(**request)
            ended = end_of_tuning(whole, f"nothing-{number}", 600)
            if ended["TrainingJobStatusCounters"]["Completed"] != TRIALS:
                raise SystemExit(f"not all completed: {ended['TrainingJobStatusCounters']}")
            if number:  # the first one warms up
                figures.append((time.monotonic() - started) / TRIALS)
    report.add(f"a trial that does nothing, of {TRIALS}", figures)
    report.ratios.append(Ratio("s for a trial that does nothing", max(figures), 0.2, at_most=True))


def many(report: Report, repeats: int) -> None:
    """Pages of a thousand finished trials."""
    with tempfile.TemporaryDirectory() as name:
        with Whole(Path(name, "root")) as whole:
            request = tuning(whole, "many", whole.put_script(NOTHING), jobs=500, parallel=1)
        fill(Path(name, "root", "state.sqlite"), request)
        with Whole(Path(name, "root")) as whole:
            client = whole.client("sagemaker")
            listing: list[float] = []
            describing: list[float] = []
            for _ in range(repeats):
                started = time.monotonic()
                found = client.list_training_jobs_for_hyper_parameter_tuning_job(
                    HyperParameterTuningJobName="many", MaxResults=100, SortBy="FinalObjectiveMetricValue"
                )["TrainingJobSummaries"]
                listing.append(time.monotonic() - started)
                if len(found) != 100:
                    raise SystemExit(f"{len(found)} trials on a page")
                started = time.monotonic()
                for one in found:
                    client.describe_training_job(TrainingJobName=one["TrainingJobName"])
                client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="many")
                describing.append(time.monotonic() - started)
    report.add(f"a page of 100 of {FINISHED:,} trials listed", listing)
    report.add("these 100 and their tuning job described", describing)
    report.ratios.append(Ratio("s to list a page", max(listing), 1, at_most=True))
    report.ratios.append(Ratio("s to describe a page", max(describing), 1, at_most=True))


def fill(path: Path, request: dict[str, Any]) -> None:
    """Keep a finished tuning job in a server's state, while no server runs."""
    state = State(path)
    job = documents.tuning_job(request, seed=0)
    now = time.time()
    job.document |= {"HyperParameterTuningJobStatus": "Completed", "HyperParameterTuningEndTime": now}
    state.add(job, {})
    for number in range(FINISHED):
        trial = documents.trial(job, number, {"rate": str(number / FINISHED)})
        trial.document |= {
            "TrainingJobStatus": "Completed",
            "TrainingTimeInSeconds": 1,
            "TrainingEndTime": now,
        }
        trial.private["objective"] = number / FINISHED
        state.add(trial, {})
    state.close()


def main() -> None:
    options = make_parser(__doc__, repeats=7).parse_args()
    os.environ.update(ONE_THREAD, CUDA_VISIBLE_DEVICES="")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    report = Report("the embedded SageMaker's own time", "s")
    starts(report, options.repeats)
    doing_nothing(report, min(options.repeats, 3))
    many(report, options.repeats)
    finish(report, options)


if __name__ == "__main__":
    main()
