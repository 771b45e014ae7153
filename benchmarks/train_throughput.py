"""Whole-epoch images a second of `train.py` against a plain loop and torchvision's recipe.

Full fine-tuning of EfficientNet-B2 on generated photo-like JPEGs (500 x 375 px), 128 px, batch 32,
one thread, CPU time. The three candidates are processes of their own that take turns by the epoch;
ours is `train.py` itself, with one callback more that takes the time.

    python benchmarks/train_throughput.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gate import Candidate
from benchmarks.photos import photo_tree
from benchmarks.timing import ONE_THREAD, ROOT, Ratio, Report, finish, interleave, paired_ratio
from benchmarks.timing import parser as make_parser

SIZE, BATCH = 128, 32
PEERS = {  # name -> (argument of train_peers, ours must be this many times as fast)
    "a plain PyTorch loop, our settings": ("plain", 0.97),
    "torchvision's reference recipe": ("torchvision", 1.3),
}


def commands(data: Path, run: Path, epochs: int) -> dict[str, Sequence[str]]:
    """The command line of each candidate."""
    overrides = [
        "data=folder", f"data.root={data}", f"image_size={SIZE}", f"batch_size={BATCH}",
        f"epochs={epochs}", "model.weights=none", "trainer=cpu",
    ]  # fmt: skip
    gate = "+callbacks.gate._target_=benchmarks.gate.EpochGate"
    ours = ["train.py", *overrides, "test=false", gate, f"hydra.run.dir={run}"]
    found: dict[str, Sequence[str]] = {"ours": ours}
    for name, (kind, _) in PEERS.items():
        fixed = [str(data), str(epochs), str(SIZE), str(BATCH)]
        found[name] = ["-m", "benchmarks.train_peers", kind, *fixed, *overrides]
    return found


def main() -> None:
    parser = make_parser(__doc__, repeats=6)
    parser.add_argument("--images", type=int, default=96, help="JPEGs an epoch (%(default)s)")
    options = parser.parse_args()
    # src for the peers; train.py brings its own
    os.environ.update(ONE_THREAD, PYTHONPATH=str(ROOT / "src"), CUDA_VISIBLE_DEVICES="")
    report = Report("EfficientNet-B2, full fine-tuning, 128 px, batch 32", "images/s of CPU time")
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        images = photo_tree(here / "photos", options.images)
        candidates = {
            name: Candidate(command, cwd=ROOT, log=here / f"{number}.log")
            for number, (name, command) in enumerate(
                commands(here / "photos", here / "run", options.repeats + 1).items()
            )
        }
        for candidate in candidates.values():
            candidate.wait()

        def speed(name: str) -> float:
            result = candidates[name].epoch()
            if result["images"] != images // BATCH * BATCH:
                raise SystemExit(f"{name} trained on {result['images']} of {images} images")
            return result["images"] / result["seconds"]

        turns = {name: lambda name=name: speed(name) for name in candidates}
        speeds = interleave(turns, repeats=options.repeats)
    for name, values in speeds.items():
        report.add(name, values)
    for name, (_, target) in PEERS.items():
        value = paired_ratio(speeds["ours"], speeds[name])
        report.ratios.append(Ratio(f"ours / {name}", value, target))
    finish(report, options)


if __name__ == "__main__":
    main()
