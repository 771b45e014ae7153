"""Limits of control groups: a container's, a batch job's below the mount, version 2 and version 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweepmaker.run.cgroup import Limits


def group(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def of_memory(limit: str, used: int = 600) -> dict[str, str]:
    return {
        "memory__max": f"{limit}\n",
        "memory__current": f"{used}\n",
        "memory__stat": "anon 1\ninactive_file 100\n",
    }


def named(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "own"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def test_a_container_has_its_limits_at_the_mount(tmp_path: Path) -> None:
    mount = group(
        tmp_path / "m", cpu__max="150000 100000\n", cpu__stat="usage_usec 2500000\n", **of_memory("1000")
    )
    limits = Limits(mount, named(tmp_path, "0::/"))
    assert (limits.cores, limits.memory(), limits.cpu_s()) == (1.5, 50, 2.5)


def test_a_batch_job_has_them_below_it_and_the_nearest_limit_counts(tmp_path: Path) -> None:
    mount = group(tmp_path / "m")
    group(
        mount / "slurm" / "job_1",
        cpu__max="200000 100000\n",
        cpu__stat="usage_usec 1\n",
        **of_memory("2000", 1100),
    )
    group(
        mount / "slurm" / "job_1" / "step_0",
        cpu__max="max 100000\n",
        cpu__stat="usage_usec 9\n",
        **of_memory("max"),
    )
    group(mount / "slurm" / "other", cpu__max="10000 100000\n", **of_memory("1"))
    limits = Limits(mount, named(tmp_path, "0::/slurm/job_1/step_0"))
    assert (limits.cores, limits.memory(), limits.cpu_s()) == (2, 50, 1e-6)


@pytest.mark.parametrize(
    "path", ["/", "/docker/0123", "/../../etc"], ids=["namespace", "of the host", "outside"]
)
def test_version_1(path: str, tmp_path: Path) -> None:
    mount = tmp_path / "m"
    group(mount / "memory", memory__limit_in_bytes="1000\n", memory__usage_in_bytes="600\n",
          memory__stat="inactive_file 7\ntotal_inactive_file 100\n")  # fmt: skip
    group(mount / "cpu,cpuacct", cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n",
          cpuacct__usage="2500000000\n")  # fmt: skip
    limits = Limits(
        mount, named(tmp_path, f"4:memory:{path}", f"2:cpu,cpuacct:{path}", "1:name=systemd:/", "0::/")
    )
    assert (limits.cores, limits.memory(), limits.cpu_s()) == (0.5, 50, 2.5)


def test_version_1_may_count_time_in_another_tree(tmp_path: Path) -> None:
    mount = tmp_path / "m"
    group(mount / "cpu" / "job", cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n")
    group(mount / "cpuacct" / "job", cpuacct__usage="1500000000\n")
    limits = Limits(mount, named(tmp_path, "2:cpuacct:/job", "1:cpu:/job"))
    assert (limits.cores, limits.cpu_s()) == (0.5, 1.5)


def test_what_is_no_limit_is_none(tmp_path: Path) -> None:
    mount = tmp_path / "m"
    group(mount / "memory", memory__limit_in_bytes="9223372036854771712\n", memory__usage_in_bytes="600\n",
          memory__stat="total_inactive_file 100\n")  # fmt: skip
    group(mount / "cpu", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    for limits in (Limits(mount, named(tmp_path, "2:cpu:/")), Limits(tmp_path / "none", tmp_path / "none")):
        assert (limits.cores, limits.memory(), limits.cpu_s()) == (None, None, None)


def test_files_that_say_nonsense_are_no_limit(tmp_path: Path) -> None:
    mount = group(tmp_path / "m", cpu__max="\n", memory__max="lots\n", memory__current="")
    limits = Limits(mount, tmp_path / "none")
    assert (limits.cores, limits.memory(), limits.cpu_s()) == (None, None, None)


def test_this_machine_can_be_asked() -> None:
    limits = Limits()
    memory = limits.memory()
    assert limits.cores is None or limits.cores > 0
    assert memory is None or 0 <= memory <= 100
