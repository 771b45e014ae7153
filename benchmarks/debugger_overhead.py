"""What the debugger costs a training step, against no debugger and against smdebug at the same interval.

EfficientNet-B2, 64 px, batches of 32, one thread, CPU seconds of the process. At the default interval of 25
steps the cost is less than two runs of the same differ by, so its two parts are measured where they stand
out, and candidates train side by side, each a thread that does one step and hands over: what else the machine
does meets all of them.

- what every step costs, sampled or not: the time of steps that are not, on batches of 2 at 32 px, where a
  step is short (hooks are called as often, whatever they are called with), beyond that of steps without
  anything;
- what a sample costs: with one in four steps sampled, the time of the sampled step and of the next, in which
  smdebug writes, beyond that of the other two of the four.

What is added to a step is then the first and a 25th of the second; the ten steps at the beginning, which are
sampled all, do not count: they come once. Figures are medians over steps, and then over rounds. smdebug is
measured twice: saving full weights and gradients, and with those of its reductions that come closest to what
the rules keep (absolute mean, maximum and l2 norm of gradients, absolute mean and variance of weights,
absolute mean of activations; it has nothing for updates, zeros and units that never fire). With --head the
same on a head over cached features, at the interval that is chosen there.

    python benchmarks/debugger_overhead.py
    .venv-smdebug/bin/python benchmarks/debugger_overhead.py      # with smdebug as a peer
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
from benchmarks.timing import ONE_THREAD, ROOT, Ratio, Report, finish, paired_ratio
from benchmarks.timing import parser as make_parser

os.environ.update(ONE_THREAD)

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import efficientnet_b2

from sweepmaker.config.errors import ConfigError
from sweepmaker.debugger import settings
from sweepmaker.debugger.callback import Debugger

TARGET = 1.02  # of a step without a debugger
CHEAPER = 5.0  # than smdebug with the same statistics
SMALLER = 50.0  # a sample, in bytes, than smdebug's full tensors
WARM_UP, CYCLE = 4, 4  # steps; one in CYCLE is sampled where a sample is measured
NEVER = 10**6
FEATURES = 1408  # of B2's last layer
NAMES = {
    "none": "no debugger", "rules": "our rules", "smdebug": "smdebug, full weights and gradients",
    "reductions": "smdebug, the same statistics",
}  # fmt: skip


class Net(LightningModule):
    """B2, or only its last layer on features."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class Ring:
    """Lets threads take turns: each does one step, then the next one does."""

    def __init__(self, names: Sequence[str]) -> None:
        self._waiting = list(names)
        self._changed = threading.Condition()

    def turn(self, name: str) -> None:
        """Give the turn to the next, and wait until it comes round."""
        with self._changed:
            if self._waiting[0] == name:
                self._waiting.append(self._waiting.pop(0))
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting[0] == name)

    def leave(self, name: str) -> None:
        """Take no more turns."""
        with self._changed:
            self._waiting.remove(name)
            self._changed.notify_all()


def settled() -> float:
    """CPU seconds of the process, once nothing works any more: smdebug writes from a thread of its own."""
    before = time.process_time()
    while True:
        time.sleep(0.02)
        now = time.process_time()
        if now - before < 1e-3:
            return now
        before = now


class Steps(Callback):
    """CPU seconds of each step."""

    def __init__(self, name: str, ring: Ring) -> None:
        self.seconds: list[float] = []
        self._name, self._ring = name, ring
        self._begun: float | None = None

    def on_train_batch_start(self, *_: Any) -> None:
        if self._begun is not None:
            self.seconds.append(settled() - self._begun)
        self._ring.turn(self._name)
        self._begun = time.process_time()


@dataclass
class Load:
    """What is trained: ``batch`` images of ``size`` px, or features, for so many steps."""

    head: bool
    batch: int
    size: int
    steps: int

    def data(self) -> TensorDataset:
        """A few batches, that are gone through again and again."""
        shape = (FEATURES,) if self.head else (3, self.size, self.size)
        images = torch.randn((8 * self.batch, *shape))
        return TensorDataset(images, torch.arange(len(images)) % 10)

    def network(self) -> nn.Module:
        """With new weights."""
        return nn.Linear(FEATURES, 10) if self.head else efficientnet_b2(num_classes=10)


def trained(kinds: Sequence[str], load: Load, every: int) -> dict[str, tuple[list[float], int]]:
    """For each kind (CPU seconds of each step after the warm-up, bytes written), trained side by side."""
    ring = Ring(kinds)
    with ThreadPoolExecutor(len(kinds)) as pool:
        done = {kind: pool.submit(_trained, kind, load, every, ring) for kind in kinds}
    return {kind: one.result() for kind, one in done.items()}


def _trained(kind: str, load: Load, every: int, ring: Ring) -> tuple[list[float], int]:
    counted = Steps(kind, ring)
    try:
        ring.turn(kind)  # also for what comes before the first step
        with tempfile.TemporaryDirectory() as folder:
            Trainer(
                accelerator="cpu", max_epochs=-1, max_steps=WARM_UP + load.steps + 1, logger=False,
                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
                callbacks=[counted, *_watchers(kind, Path(folder), every)],
            ).fit(Net(load.network()), DataLoader(load.data(), load.batch))  # fmt: skip
            written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    finally:
        ring.leave(kind)
    return counted.seconds[WARM_UP:], written


def _watchers(kind: str, folder: Path, every: int) -> list[Callback]:
    if kind == "none":
        return []
    if kind != "rules":
        from sweepmaker.debugger.smdebug import SmdebugHook

        return [(SmdebugHook if kind == "smdebug" else _with_reductions())(folder, every)]
    node: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "debugger" / "sane.yaml"))
    # the first 500 images and labels are looked at once: with batches of 2 that would be every step here
    node["rules"]["CheckInputImages"]["threshold_samples"] = 1
    node["rules"]["ClassImbalance"]["samples"] = 1
    asked = settings.check(node | {"every_n_steps": every, "first_steps": 0})
    return [Debugger(asked, folder / "debugger")]


def _with_reductions() -> Any:
    from sweepmaker.debugger.smdebug import SmdebugHook

    class Reductions(SmdebugHook):
        """Saves statistics instead of tensors."""

        def _make(self, trainer: Trainer) -> Any:
            hook, reduced = super()._make(trainer), self._smd.ReductionConfig
            network = trainer.lightning_module.network
            kinds = (nn.SiLU, nn.Sigmoid)
            names = [name for name, part in network.named_modules() if isinstance(part, kinds)]
            weights = reduced(abs_reductions=["mean"], reductions=["variance"])
            for name, config in (
                ("gradients", reduced(abs_reductions=["mean", "max"], norms=["l2"])),
                ("weights", weights),
                ("biases", weights),
                ("activations", reduced(abs_reductions=["mean"])),
            ):
                hook.get_collection(name).reduction_config = config
            hook.get_collection("activations").include([f"^{name}_output_0$" for name in names])
            hook.include_collections += ["biases", "activations"]
            return hook

    return Reductions


def a_sample(seconds: list[float], written: int) -> tuple[float, float, float]:
    """(CPU seconds that a sample adds, CPU seconds of a step that is not sampled, bytes of a sample)."""
    cycles = [seconds[begin : begin + CYCLE] for begin in range(0, len(seconds) - CYCLE + 1, CYCLE)]
    plain = statistics.median(second for cycle in cycles for second in cycle[2:])
    added = statistics.median(sum(cycle[:2]) - sum(cycle[2:]) for cycle in cycles)
    return added, plain, written / (WARM_UP // CYCLE + len(cycles) + 1)


def _kinds(head: bool) -> list[str]:
    try:
        from sweepmaker.debugger.smdebug import load

        load()
    except ConfigError as error:
        print(f"without smdebug: {error.message}", file=sys.stderr)
        return ["none", "rules"]
    return ["none", "rules"] if head else list(NAMES)


def main() -> None:
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--head", action="store_true", help="a head on cached features")
    options = parser.parse_args()
    head, kinds = options.head, _kinds(options.head)
    interval = settings.EVERY_N_STEPS_ON_FEATURES if head else settings.EVERY_N_STEPS
    short = Load(head, 32, 0, 400) if head else Load(head, 2, 32, 60)
    usual = Load(head, 32, 0, 400) if head else Load(head, 32, 64, 12)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    step: list[float] = []
    steps: dict[str, list[float]] = {kind: [] for kind in kinds}
    samples: dict[str, list[float]] = {kind: [] for kind in kinds[1:]}
    written = dict.fromkeys(kinds, 0.0)
    for number in range(options.repeats):
        order = kinds[number % len(kinds) :] + kinds[: number % len(kinds)]
        for kind, (seconds, _) in trained(order, short, NEVER).items():
            steps[kind].append(statistics.median(seconds))
        for kind, (seconds, size) in trained(order, usual, CYCLE).items():
            added, plain, written[kind] = a_sample(seconds, size)
            if kind == "none":
                step.append(plain)
            else:
                samples[kind].append(added)
    _report(head, interval, step, steps, samples, written, options)


def _report(
    head: bool, interval: int, step: list[float], steps: dict[str, list[float]],
    samples: dict[str, list[float]], written: dict[str, float], options: Any,
) -> None:  # fmt: skip
    report = Report("A step on cached features" if head else "A step of EfficientNet-B2", "ms CPU")
    report.add("a step without a debugger", [1000 * one for one in step])
    total: dict[str, list[float]] = {}
    for kind, sampled in samples.items():
        # below zero is noise, and must not make a sample cheaper
        every = [max(one - none, 0.0) for one, none in zip(steps[kind], steps["none"], strict=True)]
        total[kind] = [one + sample / interval for one, sample in zip(every, sampled, strict=True)]
        for what, values in (
            ("every step", every), ("a sample", sampled), (f"added, sampling every {interval}", total[kind]),
        ):  # fmt: skip
            report.add(f"{NAMES[kind]}: {what}", [1000 * one for one in values])
    watched = [one + added for one, added in zip(step, total["rules"], strict=True)]
    report.ratios.append(Ratio("rules / none", paired_ratio(watched, step), TARGET, at_most=True))
    for kind in [kind for kind in total if kind != "rules"]:
        # not round by round: what the rules add to one is close to the noise
        cost = statistics.median(total[kind]) / statistics.median(total["rules"])
        report.ratios.append(Ratio(f"added by {NAMES[kind]} / added by rules", cost, CHEAPER))
    if "smdebug" in total:
        size = written["smdebug"] / written["rules"]
        report.ratios.append(Ratio("bytes of a sample, smdebug's full tensors / rules", size, SMALLER))
    finish(report, options)


if __name__ == "__main__":
    main()
