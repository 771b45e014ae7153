"""The profiler's rules by name: AWS's, with their known faults mended, and some of our own."""

from sweepmaker.profiler.rules import between, gpu, loading, overall, steps
from sweepmaker.profiler.rules.verdict import Rule, Verdict

__all__ = ["RULES", "Rule", "Verdict"]

RULES: dict[str, Rule] = {
    "BatchSize": Rule(
        gpu.batch_size, "GPUs idle because the batch is small: CPU, GPU and GPU memory all have room.",
        "A larger batch, or a smaller instance.", windowed=True,
    ),
    "LowGPUUtilization": Rule(
        gpu.low_utilization, "GPUs that are used little, or by fits and starts.",
        "Look for bottlenecks and blocking calls; a larger batch.", windowed=True,
    ),
    "DataWait": Rule(
        loading.data_wait, "The share of the time in which training waits for its next batch.",
        "More workers, images decoded once (data.cache=disk).",
    ),
    "CPUBottleneck": Rule(
        gpu.cpu_bottleneck, "The CPU at its limit while GPUs idle.",
        "Cheaper images, more workers, more cores.",
    ),
    "IOBottleneck": Rule(
        gpu.io_bottleneck, "The CPU waiting for the disk while GPUs idle.",
        "Images decoded once into one file (data.cache=disk), a faster disk.",
    ),
    "Dataloader": Rule(
        loading.dataloader, "The number of worker processes against that of the cores.",
        "Another number of workers.",
    ),
    "StepOutlier": Rule(
        steps.outliers, "Steps that take far longer than the others.", "Look at what happens at these steps.",
    ),
    "StepOverhead": Rule(
        overall.step_overhead, "Steps so small that what surrounds the model takes most of their time.",
        "A larger batch.",
    ),
    "CPUUnderutilised": Rule(
        overall.cpu_underutilised, "Without a GPU: cores that stay idle.",
        "More threads, or a smaller instance.", windowed=True,
    ),
    "ValidationTime": Rule(
        between.validation, "The share of the training loop that validation takes.",
        "Validate less often, or on fewer images.",
    ),
    "CheckpointTime": Rule(
        between.checkpoints, "The share of the training loop that goes into writing checkpoints.",
        "A faster disk, longer epochs.",
    ),
    "GPUMemoryIncrease": Rule(
        gpu.memory_increase, "GPU memory that grows.", "Look for a leak; more GPU memory near the limit.",
        windowed=True,
    ),
    "LoadBalancing": Rule(
        steps.load_balancing, "GPUs or processes that get unequal work.", "Equal shares, another strategy.",
    ),
    "MaxInitializationTime": Rule(
        steps.initialization, "A long time before the first step.", "FastFile instead of File mode, caches.",
    ),
    "OverallSystemUsage": Rule(overall.system_usage, "Statistics of the machine; never fires.", ""),
    "OverallFrameworkMetrics": Rule(steps.framework_metrics, "Where the time went; never fires.", ""),
}  # fmt: skip
