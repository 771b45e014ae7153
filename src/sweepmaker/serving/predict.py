"""Predictions for many files as a CSV: a row for each, also for one that cannot be read."""

from __future__ import annotations

import csv
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data.decode import MAX_PIXELS, TooLarge, read_image, show
from sweepmaker.data.tree import EXTENSIONS
from sweepmaker.run import atomic, disk
from sweepmaker.run.environment import available_cores
from sweepmaker.run.progress import track
from sweepmaker.serving.answers import Prediction
from sweepmaker.serving.files import image_files
from sweepmaker.serving.model import Model, load
from sweepmaker.serving.settings import Options

_TOGETHER = 8  # images that one thread computes at a time
_ON_GPU = 32


@dataclass(frozen=True)
class _Row:
    """One file: what the model says, or why it could not be asked."""

    file: str
    answer: Prediction | None
    error: str = ""


def write(folder: Path, options: Options) -> None:
    """Ask the model in ``folder`` about every file, and write the CSV whole or not at all.

    Its name goes to stdout; progress and the number of files that could not be read go to stderr.

    Raises:
        ConfigError: no such files, or no such place for the CSV.
        UserError: the model is broken, or the CSV cannot be written.
    """
    assert options.images is not None
    output = _output(options.output)
    files = image_files(options.images)
    choices = Choices()
    model = load(folder, engine=options.engine, threads=options.threads, top_k=options.top_k, choices=choices)
    workers = _workers(options, choices)
    broken = 0
    count = min(options.top_k, len(model.classes) or options.top_k)
    with (
        disk.naming(output),
        atomic.replacing(output) as temporary,
        # names of files need not be UTF-8, and a class may be named in anything
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(header(count))
        for row in track(predictions(model, files, workers), "predict", total=len(files)):
            broken += row.answer is None
            rows.writerow(_cells(row, count))
    if broken:
        print(f"{broken} of {len(files)} files have no prediction: see the column error", file=sys.stderr)
    print(output, flush=True)


def header(count: int) -> list[str]:
    """Names of the columns with ``count`` classes in a row."""
    ranked = [name for place in range(2, count + 1) for name in (f"label_{place}", f"probability_{place}")]
    return ["file", "class", "label", "probability", *ranked, "error"]


def predictions(model: Model, files: Sequence[str], workers: int) -> Iterator[_Row]:
    """What ``model`` says of each file, in their order, computed by ``workers`` threads.

    Decoding and every engine let go of Python's lock, so threads keep as many cores busy; no more than
    twice their number of chunks is in memory.
    """
    size = _TOGETHER if model.engine.device == "cpu" else _ON_GPU
    waiting: deque[Future[list[_Row]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="predict")
    try:
        for start in range(0, len(files), size):
            waiting.append(pool.submit(_of_files, model, files[start : start + size]))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _of_files(model: Model, files: Sequence[str]) -> list[_Row]:
    images: list[Tensor] = []
    errors: dict[str, str] = {}
    for file in files:
        try:
            images.append(model.pixels(read_image(file, max_pixels=MAX_PIXELS)))
        except TooLarge as error:
            count = f"{error.pixels:,}" if error.pixels else "more"
            errors[file] = f"{show(file)} has {count} pixels, above the {MAX_PIXELS:,} that are read"
        except DataError as error:
            errors[file] = error.message
        except MemoryError:
            errors[file] = f"{show(file)} does not fit into memory"
    answers: Iterator[Tensor] = iter(())
    if images:
        answers = iter(torch.softmax(model.engine(model.normalised(images)), dim=1))
    return [
        _Row(file, None, errors[file]) if file in errors else _answered(file, next(answers), model)
        for file in files
    ]


def _answered(file: str, probabilities: Tensor, model: Model) -> _Row:
    if not torch.isfinite(probabilities).all():
        return _Row(file, None, f"the model answers {show(file)} with nan")
    return _Row(file, Prediction(probabilities[None], model.classes, model.top_k))


def _cells(row: _Row, count: int) -> list[str]:
    name = show(row.file)
    if row.answer is None:
        return [name, "", "", "", *[""] * (2 * (count - 1)), row.error]
    (said,) = row.answer.rows()
    first, *others = said["top"]
    ranked = [cell for one in others for cell in (one["label"], f"{one['probability']:.6g}")]
    ranked += [""] * (2 * (count - 1) - len(ranked))
    return [name, str(first["class"]), first["label"], f"{first['probability']:.6g}", *ranked, ""]


def _workers(options: Options, choices: Choices) -> int:
    if options.workers is not None:
        return options.workers
    cores = available_cores()
    workers = max(1, cores // options.threads)
    choices.add("workers", workers, f"{cores} cores, {options.threads} thread(s) each")
    return workers


def _output(given: str) -> Path:
    try:
        output = Path(given).expanduser()
        is_folder, has_place = output.is_dir(), output.absolute().parent.is_dir()
        atomic.check_replaceable(output)
    except (OSError, ValueError, RuntimeError) as error:
        why = f": {error.strerror}" if isinstance(error, OSError) else ""
        raise ConfigError(f"{given[:80]!r} is no name of a file{why}", key="output") from error
    if output.suffix.lower() in EXTENSIONS:
        raise ConfigError(f"{given} is an image by its name, and a CSV is written", key="output",
                          fix="output=predictions.csv")  # fmt: skip
    if is_folder:
        raise ConfigError(f"{given} is a folder", key="output", fix=f"output={given}/predictions.csv")
    if not has_place:
        raise ConfigError(
            f"there is no folder {output.parent}", key="output", fix=f"mkdir -p {output.parent}"
        )
    return output
