"""How many workers: never fewer than one, never more than cores or memory allow, whatever is asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sweepmaker.serving.server.plan import choose, free_memory

GB, PIXELS = 2**30, 50_000_000


def test_one_for_each_core() -> None:
    plan = choose(cores=4, memory=64 * GB, each=GB // 3, pixels=PIXELS)
    assert (plan.workers, plan.threads, plan.batch) == (4, 1, 1)
    assert plan.reason == "one for each of 4 cores; one request at a time"


def test_threads_of_a_worker_take_cores() -> None:
    plan = choose(cores=5, memory=64 * GB, each=GB // 3, pixels=PIXELS, threads=2)
    assert (plan.workers, plan.threads) == (2, 2)


def test_what_does_not_fit_into_memory_is_not_started() -> None:
    plan = choose(cores=16, memory=4 * GB, each=GB // 3, pixels=PIXELS)
    assert 1 < plan.workers < 5
    assert "as many as the memory is enough for: 4,096 MB are free" in plan.reason


def test_what_is_asked_for_is_done() -> None:
    plan = choose(cores=2, memory=0, each=GB, pixels=PIXELS, workers=7, batch=4)
    assert (plan.workers, plan.batch) == (7, 4)
    assert plan.reason == "workers is set; 2 cores; batches of 4"


def test_as_many_images_at_a_time_as_the_memory_is_enough_for() -> None:
    plan = choose(cores=16, memory=10 * GB, each=GB, pixels=PIXELS, gpus=1)
    assert 1 <= plan.batch < 32 and "images of 50,000,000 pixels at a time" in plan.reason
    assert choose(cores=16, memory=10 * GB, each=GB, pixels=PIXELS, gpus=1, batch=32).batch == 32
    alone = choose(cores=16, memory=8 * GB, each=GB // 3, pixels=PIXELS).workers
    assert choose(cores=16, memory=8 * GB, each=GB // 3, pixels=PIXELS, batch=16).workers < alone


def test_a_gpu_has_one_process_and_batches() -> None:
    plan = choose(cores=16, memory=64 * GB, each=GB, pixels=PIXELS, gpus=2)
    assert (plan.workers, plan.batch) == (2, 32)
    assert choose(cores=16, memory=64 * GB, each=GB, pixels=PIXELS, gpus=1, batch=1).batch == 1


@given(
    cores=st.integers(1, 256), memory=st.integers(0, 2**42), each=st.integers(0, 2**36),
    pixels=st.integers(1, 2**31), threads=st.integers(1, 64), gpus=st.integers(0, 8),
)  # fmt: skip
def test_any_machine(cores: int, memory: int, each: int, pixels: int, threads: int, gpus: int) -> None:
    plan = choose(cores=cores, memory=memory, each=each, pixels=pixels, threads=threads, gpus=gpus)
    assert 1 <= plan.workers <= max(1, cores // threads, gpus)
    if not gpus and plan.workers > 1:
        assert (plan.workers - 1) * each <= memory
    assert plan.reason


def test_free_memory_is_a_part_of_the_machine_s() -> None:
    assert 0 < free_memory() < 2**50
