"""Sections about the machine: CPU, memory, disk, network and GPUs."""

from __future__ import annotations

import math
from collections.abc import Callable

from sweepmaker.profiler import ranks
from sweepmaker.profiler.judge import Found
from sweepmaker.profiler.profile import Profile, node_folder
from sweepmaker.profiler.report.charts import Curve, boxes, curves, heat, histogram, parts
from sweepmaker.profiler.report.markup import paragraph, percent, section, size, table
from sweepmaker.profiler.report.overview import says
from sweepmaker.profiler.rules.gpu import box
from sweepmaker.profiler.rules.overall import OTHERS, statistics

_NAMES: dict[str, tuple[str, Callable[[float], str]]] = {
    "cpu": ("CPU", percent), "iowait": ("I/O wait", percent),
    "iowait_max": ("I/O wait, the core that waits most", percent), "memory": ("memory", percent),
    "run_cpu": ("CPU, this run alone", percent),
    "process_cpu": ("CPU of this run (100 %: one core)", percent),
    "process_memory": ("memory of this run", lambda value: f"{value:.2f} GiB"),
    "workers": ("worker processes", lambda value: f"{value:.0f}"),
    "disk_read": ("disk, read", lambda value: size(value) + "/s"),
    "disk_write": ("disk, written", lambda value: size(value) + "/s"),
    "net_in": ("network, in", lambda value: size(value) + "/s"),
    "net_out": ("network, out", lambda value: size(value) + "/s"),
}  # fmt: skip


def system(profile: Profile) -> str:
    """The table of everything, and CPU, memory, disk and network over time."""
    found = statistics(profile)
    if not found:
        return section("system", "Machine", paragraph("The run was too short for a sample."))
    rows = []
    for name, values in found.items():
        label, unit = _named(name)
        label += "" if profile.loads.count(name) else " *"
        rows.append((label, *(unit(values[column]) for column in ("max", "p99", "p95", "p50", "min"))))
    over = "* over the whole run; percentiles of the means of short spans" if len(profile.system) else ""
    heads = ("while training", "highest", "99 %", "95 %", "median", "lowest")
    cores = {name: profile.cores.mean(name) for name in profile.cores.names}
    return section(
        "system", "Machine", paragraph(_judged(profile)), table(heads, rows), paragraph(over, "soft"),
        curves("CPU and I/O wait, all usable cores (band: lowest to highest)",
               [_curve(profile, "cpu", "CPU"), _curve(profile, "run_cpu", "this run's part"),
                _curve(profile, "iowait", "I/O wait")], top=100),
        heat("Use of each core", profile.cores.time, cores if len(profile.cores) > 1 else {}),
        curves("Memory", [_curve(profile, "memory", "in use")], top=100, small=True),
        curves("Disk", [_curve(profile, "disk_read", "read"), _curve(profile, "disk_write", "written")],
               unit=lambda value: size(value) + "/s", small=True),
        curves("Network", [_curve(profile, "net_in", "in"), _curve(profile, "net_out", "out")],
               unit=lambda value: size(value) + "/s", small=True),
        long=True,
    )  # fmt: skip


def _judged(profile: Profile) -> str:
    """AWS's sentence about a node: by the 95th percentiles of CPU and GPU."""
    if not profile.loads.count("cpu"):
        return "The CPU was not sampled while training."
    cpu = profile.loads.quantile("cpu", 0.95)
    if not profile.gpus:
        kind = "well used" if cpu > 70 else "not fully used; a smaller instance may do"
        if profile.others >= OTHERS and cpu > 70:
            kind = f"full, but to {profile.others:.0f} % with other programs"
        unseen = profile.facts.get("accelerator") not in (None, "cpu")
        device = "The accelerator is not sampled." if unseen else "Without a GPU."
        return f"{device} The CPU is {kind}: 95 % of the time below {cpu:.0f} %."
    gpu = min(profile.loads.quantile(name, 0.95) for name in profile.gpus)
    half = min(profile.loads.quantile(name, 0.5) for name in profile.gpus)
    if half > 70:
        return f"The GPUs are well used: half of the time above {half:.0f} %."
    if gpu < 70 and cpu < 70:
        return f"CPU ({cpu:.0f} %) and GPU ({gpu:.0f} %) both have room: a smaller instance may do."
    if gpu < 70:
        return f"The GPUs have room ({gpu:.0f} %), the CPU has not ({cpu:.0f} %): likely the bottleneck."
    return f"Median use: GPU {half:.0f} %, CPU {profile.loads.quantile('cpu', 0.5):.0f} %."


def gpus(profile: Profile, found: Found) -> str:
    """Use of each GPU as boxes and over time."""
    shown = [_curve(profile, name, _gpu(name)) for name in profile.gpus]
    return section(
        "gpu", "GPU utilisation", says(found, "LowGPUUtilization", "CPUUnderutilised"),
        boxes("GPU utilisation while training", {_gpu(name): box(profile, name) for name in profile.gpus}),
        curves("GPU utilisation over the run (band: lowest to highest)", shown, top=100),
    )  # fmt: skip


def balance(profile: Profile, found: Found) -> str:
    """How evenly GPUs and processes work."""
    plots = []
    if len(profile.gpus) > 1:
        for number, name in enumerate(profile.gpus):
            plots.append(histogram(f"Use of {_gpu(name)}, percent", profile.loads.edges,
                                   profile.loads.counts(name), unit=percent, number=number % 9))  # fmt: skip
    for number, rank in enumerate(profile.ranks):
        work = {
            name.replace("_", " "): rank[name] for name in ("data_wait", "transfer", "forward", "backward")
        }
        plots.append(parts(f"Process {number} (backward holds its wait for the others)", work))
    return section("balance", "Workload balance", says(found, "LoadBalancing"), _nodes(profile), *plots)


def _nodes(profile: Profile) -> str:
    """The run's machines, and where each has its own report."""
    count = profile.facts.get("nodes")
    if not isinstance(count, int) or count < 2:
        return ""
    told = ranks.machines(profile.ranks)
    names = [f"{name}_{share}" for name in ranks.WATCHED for share in ("p50", "p95", "max")]
    shown = [name for name in names if any(name in found for found in told.values())]
    rows = [
        (f"machine {number}", *(percent(told.get(number, {}).get(name, math.nan)) for name in shown),
         "profiler/report.html" if number == 0 else f"profiler/{node_folder(number)}/report.html")
        for number in range(count)
    ]  # fmt: skip
    said = "Every machine watches itself; the others' reports lie where they write their run folder."
    if not told:
        said += " They compare their figures when training ends, which it did not."
    heads = [_figure(name) for name in shown]
    return paragraph(said) + table(("machine", *heads, "report"), rows, wordy=(len(heads) + 1,))


def _figure(name: str) -> str:
    channel, _, share = name.rpartition("_")
    label = {"gpu": "GPUs", "gpu_memory": "GPU memory"}.get(channel) or _named(channel)[0]
    return f"{label}, {({'p50': 'median', 'p95': '95 %', 'max': 'highest'})[share]}"


def batch(profile: Profile, found: Found) -> str:
    """Room in CPU, GPU and GPU memory."""
    names = ["cpu", *(each for name in profile.gpus for each in (name, f"{name}_memory"))]
    shown = {_named(name)[0]: box(profile, name) for name in names}
    return section("batch", "Batch size", says(found, "BatchSize"), boxes("Room while training", shown))


def bottlenecks(profile: Profile, found: Found) -> str:
    """Samples in which a GPU idled, and those in which the CPU or the disk was to blame."""
    plots = []
    for rule, cause in (("CPUBottleneck", "CPU at its limit"), ("IOBottleneck", "waiting for the disk")):
        counts = profile.together.get(rule)
        if counts:
            shown = {
                "GPUs busy": float(counts["samples"] - counts["low_gpu"]),
                f"GPU idle, {cause}": float(counts["both"]),
                "GPU idle, other reasons": float(counts["low_gpu"] - counts["both"]),
            }
            plots.append(parts(rule, shown, lambda value: f"{value:.0f} samples"))
    if not profile.gpus:
        plots.append(
            boxes("CPU while training", {"CPU": box(profile, "cpu"), "I/O wait": box(profile, "iowait")})
        )
    return section(
        "bottlenecks", "CPU and I/O bottlenecks", says(found, "CPUBottleneck", "IOBottleneck"), *plots
    )


def gpu_memory(profile: Profile, found: Found) -> str:
    """GPU memory over time."""
    shown = [_curve(profile, f"{name}_memory", f"{_gpu(name)} memory") for name in profile.gpus]
    return section("memory", "GPU memory", says(found, "GPUMemoryIncrease"),
                   curves("GPU memory over the run", shown, top=100))  # fmt: skip


def _curve(profile: Profile, name: str, label: str) -> Curve:
    series = profile.system
    return Curve(label, series.time, series.mean(name), series.low(name), series.high(name))


def _gpu(name: str) -> str:
    return name.replace("gpu", "GPU ")


def _named(name: str) -> tuple[str, Callable[[float], str]]:
    return _NAMES.get(name, (name.replace("gpu", "GPU ").replace("_memory", " memory"), percent))
