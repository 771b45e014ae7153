"""How many workers with how many threads each: from the cores, the GPUs and the memory, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from sweepmaker.run import cgroup

_SPARE = 256 << 20  # bytes that are left to the rest of the machine
_PER_PIXEL = 21  # bytes at the peak, measured: 15 of an image that is resized, 21 with 16 bits a channel
_DECODED = 3  # bytes of a pixel, once it is there
BATCH_ON_GPU = 32
READERS = 8
"""Threads of a worker on a GPU that decode the images of a batch."""


@dataclass(frozen=True)
class Plan:
    """Who computes.

    Attributes:
        workers: processes.
        threads: of each.
        batch: requests that are computed together at most.
        reason: of all that, for people.
    """

    workers: int
    threads: int
    batch: int
    reason: str


def choose(
    *,
    cores: int,
    memory: int,
    each: int,
    pixels: int,
    gpus: int = 0,
    workers: int | None = None,
    threads: int = 1,
    batch: int | None = None,
) -> Plan:
    """The plan for a machine, once a first worker has told what it needs.

    On a CPU each request is computed alone: batches gain at most 5 % there and cost the time that the
    first of them waits, while one worker for each core answers as many requests at a time as there are
    cores. A GPU is fed by one process, whose threads decode the images of a batch.

    Args:
        cores: that may be used.
        memory: bytes that are free, with the first worker at work.
        each: bytes that a further worker takes.
        pixels: that an image may have; one of them may come to every worker at the same time.
        gpus: that a worker computes on; 0: on the CPU.
        workers: asked for; None: chosen here.
        threads: of a worker.
        batch: asked for; None: chosen here.
    """
    peak = pixels * (_PER_PIXEL + _DECODED * ((batch or 1) - 1))
    fit = 1 + max(0, (memory - _SPARE - peak) // (each + peak))
    alone = f"batches of {batch}" if batch and batch > 1 else "one request at a time"
    if gpus:
        number = workers or gpus
        reason = f"one for each of {gpus} GPUs" if workers is None else "workers is set"
        room = memory // number - _SPARE - READERS * pixels * _PER_PIXEL
        fit = max(1, room // (pixels * _DECODED))
        if batch is None and fit < BATCH_ON_GPU:
            reason += f"; the memory is enough for {fit} images of {pixels:,} pixels at a time"
        batch = batch or min(BATCH_ON_GPU, fit)
        return Plan(number, threads, batch, f"{reason}; up to {batch} requests together")
    if workers is not None:
        return Plan(workers, threads, batch or 1, f"workers is set; {cores} cores; {alone}")
    wanted = max(1, cores // threads)
    reason = f"{cores} cores by {threads} threads each" if threads > 1 else f"one for each of {cores} cores"
    if fit < wanted:
        reason = (
            f"of {cores} cores, as many as the memory is enough for: {memory >> 20:,} MB are free, a worker "
            f"takes {each >> 20:,} MB and up to {peak >> 20:,} MB for an image of {pixels:,} pixels"
        )
    return Plan(min(fit, wanted), threads, batch or 1, f"{reason}; {alone}")


def free_memory() -> int:
    """Bytes that this process and its children may still take, in a container those of its limit."""
    free: int = psutil.virtual_memory().available
    limited = cgroup.Limits().free_memory()
    return free if limited is None else min(free, limited)
