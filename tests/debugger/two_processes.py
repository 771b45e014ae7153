"""The same training in one process or two: started as a script, since Lightning starts the second one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(folder: Path, processes: int) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, str(folder / str(processes)), str(processes)],
        env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def main(folder: Path, processes: int) -> None:
    from lightning.pytorch import Trainer, seed_everything
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from sweepmaker.debugger import settings
    from sweepmaker.debugger.callback import Debugger
    from tests.debugger.networks import Net, deep_net, digits, sgd

    seed_everything(3, verbose=False)
    images, labels = digits()
    rank = int(os.environ.get("LOCAL_RANK", 0))  # as Lightning tells the process that it starts
    parts = slice(rank, 640, processes), slice(640 + rank, 896, processes)
    train, valid = (TensorDataset(images[part], labels[part]) for part in parts)
    node = {"every_n_steps": 5, "rules": {"PoorWeightInitialization": {}, "DeadRelu": {}, "Confusion": {}}}
    Trainer(
        accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto", max_epochs=1,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, callbacks=[Debugger(settings.check(node), folder / "debugger")],
        use_distributed_sampler=False,
    ).fit(
        Net(deep_net(nn.ReLU, 3), sgd()),
        DataLoader(train, 32 // processes), DataLoader(valid, 64 // processes),
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
