"""How long `train.py` takes to answer: `--help`, a config error, and the first training step.

The first two against a bare Hydra app over the same conf tree, the third against a naive script
with the same imports. Both are written into a temporary folder. CPU time of whole processes.

    python benchmarks/startup.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing import ONE_THREAD, ROOT, Ratio, Report, finish, interleave, paired_ratio
from benchmarks.timing import parser as make_parser

BARE = """
import hydra

@hydra.main(version_base="1.3", config_path={conf!r}, config_name="train")
def main(cfg):
    pass

if __name__ == "__main__":
    main()
"""

# One network, one data set, one step; no run folder, metrics or resume. It imports what ours does
# and reads the digits as ours does: importing scikit-learn for them would cost it another second.
NAIVE = """
import importlib.util, os, pathlib
import hydra, lightning, matplotlib, numpy, safetensors, torch, torchmetrics.classification
from torchvision import models
from torchvision.transforms import v2

torch.manual_seed(0)
package = pathlib.Path(importlib.util.find_spec("sklearn").origin).parent
rows = numpy.loadtxt(package / "datasets/data/digits.csv.gz", delimiter=",")
images = torch.tensor(rows[:16, :64] * 255 / 16).to(torch.uint8).view(-1, 1, 8, 8)
images = v2.functional.resize(images.expand(-1, 3, -1, -1), [64, 64], antialias=True)
images = images.float().div(255).contiguous(memory_format=torch.channels_last)
network = models.efficientnet_b2(num_classes=10).to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
loss = torch.nn.functional.cross_entropy(network(images), torch.tensor(rows[:16, 64]).long())
loss.backward()
optimizer.step()
os._exit(0)
"""


def process_seconds(command: Sequence[str], code: int) -> float:
    """CPU time of a process and what it starts, in seconds; it must end with ``code``."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}, not {code}")
    return used.ru_utime + used.ru_stime


def main() -> None:
    options = make_parser(__doc__, repeats=7).parse_args()
    os.environ.update(ONE_THREAD, CUDA_VISIBLE_DEVICES="")
    # As `make` runs them: our few files are compiled once, like the packages.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    report = Report("time to an answer", "s of CPU time")
    with tempfile.TemporaryDirectory() as folder:
        bare, naive = Path(folder, "bare.py"), Path(folder, "naive.py")
        bare.write_text(BARE.format(conf=str(ROOT / "conf")))
        naive.write_text(NAIVE)
        quiet = ["hydra.output_subdir=null", f"hydra.run.dir={folder}/run"]
        first_step = "+callbacks.first._target_=benchmarks.gate.EndAfterFirstStep"
        cases = {  # name: (ours, its exit code, the peer, its exit code, at most so many times)
            "--help, against bare Hydra": (["--help"], 0, [str(bare), "--help"], 0, 1.3),
            "unknown key, against bare Hydra": (["epoch=3"], 2, [str(bare), "epoch=3"], 1, 1.3),
            "wrong value, against bare Hydra": (
                ["batch_size=0", *quiet], 2, [str(bare), "batch_size=0", *quiet], 0, 1.3
            ),
            "first training step, against a naive script": (
                ["model.weights=none", *quiet, first_step], 0, [str(naive)], 0, 1.1
            ),
        }  # fmt: skip
        for name, (ours, code, peer, peer_code, target) in cases.items():
            work = {
                "ours": lambda c=["train.py", *ours], e=code: process_seconds(c, e),
                "peer": lambda c=peer, e=peer_code: process_seconds(c, e),
            }
            seconds = interleave(work, repeats=options.repeats)
            for who, values in seconds.items():
                report.add(f"{name}: {who}", values)
            value = paired_ratio(seconds["ours"], seconds["peer"])
            report.ratios.append(Ratio(name, value, target, at_most=True))
    finish(report, options)


if __name__ == "__main__":
    main()
