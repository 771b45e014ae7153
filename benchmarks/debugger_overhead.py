"""What the debugger costs a training step, against no debugger and against smdebug at the same interval.

EfficientNet-B2, 64 px, batches of 32, one thread, CPU seconds of the process. Each round trains the same
network for one interval of 25 steps without anything, with our default rules, and (in .venv-smdebug) with
smdebug saving losses, weights and gradients; an interval holds exactly one sample. The first ten steps, which
are sampled all, do not count: they come once. With --head the same on a head over cached features, at the
interval that is chosen there.

    python benchmarks/debugger_overhead.py
    .venv-smdebug/bin/python benchmarks/debugger_overhead.py      # with smdebug as a peer
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
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
CHEAPER = 5.0  # than smdebug
SMALLER = 50.0  # a sample, in bytes
INTERVAL, BATCH, WARM_UP = 25, 32, 10
FEATURES = 1408  # of B2's last layer


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


class Steps(Callback):
    """CPU seconds of each interval of steps, after the warm-up."""

    def __init__(self, interval: int) -> None:
        self.seconds: list[float] = []
        self._interval = interval
        self._begun = 0.0

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step >= WARM_UP and (trainer.global_step - WARM_UP) % self._interval == 0:
            now = time.process_time()
            if self._begun:
                self.seconds.append((now - self._begun) / self._interval)
            self._begun = now


def trained(kind: str, head: bool, interval: int) -> tuple[float, int]:
    """(CPU seconds a step, bytes written) of one interval."""
    torch.manual_seed(0)
    steps = WARM_UP + interval + 1
    images = torch.randn((BATCH * steps, FEATURES) if head else (BATCH * steps, 3, 64, 64))
    data = TensorDataset(images, torch.arange(len(images)) % 10)
    network = nn.Linear(FEATURES, 10) if head else efficientnet_b2(num_classes=10)
    counted = Steps(interval)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            accelerator="cpu", max_epochs=-1, max_steps=steps, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
            callbacks=[counted, *_watchers(kind, Path(folder), interval)],
        ).fit(Net(network), DataLoader(data, BATCH))  # fmt: skip
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return counted.seconds[0], written


def _watchers(kind: str, folder: Path, interval: int) -> list[Callback]:
    if kind == "none":
        return []
    if kind == "smdebug":
        from sweepmaker.debugger.smdebug import SmdebugHook

        return [SmdebugHook(folder, interval)]
    node: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "debugger" / "sane.yaml"))
    return [Debugger(settings.check(node | {"every_n_steps": interval}), folder / "debugger")]


def _kinds(head: bool) -> list[str]:
    try:
        from sweepmaker.debugger.smdebug import load

        load()
    except ConfigError as error:
        print(f"without smdebug: {error.message}", file=sys.stderr)
        return ["none", "rules"]
    return ["none", "rules"] if head else ["none", "rules", "smdebug"]


def main() -> None:
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--head", action="store_true", help="a head on cached features")
    parser.add_argument(
        "--interval", type=int, help="steps between samples; few show a sample above the noise"
    )
    options = parser.parse_args()
    interval = options.interval or (settings.EVERY_N_STEPS_ON_FEATURES if options.head else INTERVAL)
    kinds = _kinds(options.head)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    written = dict.fromkeys(kinds, 0)
    for number in range(options.repeats):
        for kind in kinds if number % 2 == 0 else reversed(kinds):
            one, written[kind] = trained(kind, options.head, interval)
            seconds[kind].append(one)
    report = Report(
        "A step on cached features" if options.head else "A step of EfficientNet-B2", "ms CPU a step"
    )
    for kind in kinds:
        report.add(kind, [1000 * one for one in seconds[kind]])
    report.ratios.append(
        Ratio("rules / none", paired_ratio(seconds["rules"], seconds["none"]), TARGET, at_most=True)
    )
    finish(report, options)
    if "smdebug" in kinds:
        costs = [
            sum(seconds[kind]) / options.repeats - sum(seconds["none"]) / options.repeats
            for kind in ("rules", "smdebug")
        ]
        print(
            f"added by smdebug against added by rules: {costs[1] / costs[0]:.1f} (target {CHEAPER:g} or more)"
        )
        # ours has written eleven samples by then, smdebug the weights and gradients of two steps
        per_sample = written["smdebug"] / 2 / (written["rules"] / (WARM_UP + 1))
        print(f"bytes a sample, smdebug against rules: {per_sample:.0f} (target {SMALLER:g} or more)")


if __name__ == "__main__":
    main()
