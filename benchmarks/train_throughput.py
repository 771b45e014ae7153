"""Whole-epoch images a second of `train.py` against a plain loop and torchvision's recipe.

EfficientNet-B2 on generated photo-like JPEGs (500 x 375 px), 128 px, batch 32, one thread, CPU time. The
candidates are processes of their own that take turns by the epoch; ours is `train.py` itself, with one
callback more that takes the time. With model.finetune=head a turn is a whole run of five epochs with nothing
kept from before: decoding, computing features, training, validation and checkpoints are all in its time.

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
HEAD_EPOCHS = 5
PLAIN, REFERENCE = "a plain PyTorch loop, our settings", "torchvision's reference recipe"
FROZEN = "torchvision's recipe, frozen backbone"
OURS, CACHED, HEAD = "ours", "ours, data.cache=disk", "ours, model.finetune=head, five epochs"
RATIOS = [  # whose images a second, against whose, at least so many times as many
    (OURS, PLAIN, 0.97),
    (OURS, REFERENCE, 1.3),
    (CACHED, OURS, 1.0),
    (HEAD, REFERENCE, 20.0),
    (HEAD, FROZEN, 5.0),
]


def commands(data: Path, large: Path, folder: Path, turns: int) -> dict[str, Sequence[str]]:
    """The command line of each candidate.

    Args:
        data: images for an epoch a turn.
        large: images for a whole run a turn.
        folder: for runs and caches.
        turns: so many there are.
    """
    common = [
        f"image_size={SIZE}",
        f"batch_size={BATCH}",
        "model.weights=none",
        "trainer=cpu",
        "estimate=false",
    ]
    full = ["data=folder", f"data.root={data}", f"epochs={turns}", *common]
    still = ["data.augment.crop_scale=null", "data.augment.hflip=0", "model.finetune=head", "data.cache=disk"]
    head = ["data=folder", f"data.root={large}", f"epochs={HEAD_EPOCHS}", *common, *still, "test=false"]
    gate = ["test=false", "+callbacks.gate._target_=benchmarks.gate.EpochGate"]
    cached = ["data.cache=disk", f"data.cache_dir={folder}/cache", f"hydra.run.dir={folder}/cached"]
    peers = ["-m", "benchmarks.train_peers"]
    fixed = [str(data), str(turns), str(SIZE), str(BATCH)]
    return {
        OURS: ["train.py", *full, *gate, "data.cache=none", f"hydra.run.dir={folder}/run"],
        CACHED: ["train.py", *full, *gate, *cached],
        HEAD: [*peers, "head", str(large), *fixed[1:], *head],
        PLAIN: [*peers, "plain", *fixed, *full],
        REFERENCE: [*peers, "torchvision", *fixed],
        FROZEN: [*peers, "frozen", *fixed],
    }


def main() -> None:
    parser = make_parser(__doc__, repeats=4)
    # twelve steps: the debugger samples the first ten of a run, which the epoch that does not count has then
    parser.add_argument("--images", type=int, default=384, help="JPEGs an epoch (%(default)s)")
    parser.add_argument("--run-images", type=int, default=480, help="JPEGs of a whole run (%(default)s)")
    options = parser.parse_args()
    # src for the peers; train.py brings its own
    os.environ.update(ONE_THREAD, PYTHONPATH=str(ROOT / "src"), CUDA_VISIBLE_DEVICES="")
    report = Report("EfficientNet-B2, 128 px, batch 32", "images/s of CPU time")
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        images = photo_tree(here / "photos", options.images) // BATCH * BATCH
        each = {HEAD: HEAD_EPOCHS * photo_tree(here / "more", options.run_images)}
        lines = commands(here / "photos", here / "more", here, options.repeats + 1)
        candidates = {
            name: Candidate(command, cwd=ROOT, log=here / f"{number}.log")
            for number, (name, command) in enumerate(lines.items())
        }
        for candidate in candidates.values():
            candidate.wait()

        def speed(name: str) -> float:
            result = candidates[name].epoch()
            if result["images"] != each.get(name, images):
                raise SystemExit(f"{name} trained on {result['images']} of {each.get(name, images)} images")
            return result["images"] / result["seconds"]

        turns = {name: lambda name=name: speed(name) for name in candidates}
        speeds = interleave(turns, repeats=options.repeats)
    for name, values in speeds.items():
        report.add(name, values)
    for above, below, target in RATIOS:
        report.ratios.append(Ratio(f"{above} / {below}", paired_ratio(speeds[above], speeds[below]), target))
    finish(report, options)


if __name__ == "__main__":
    main()
