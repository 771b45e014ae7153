"""Requests a second with 8 clients, and the time of one request, against TorchServe and LitServe.

The same EfficientNet-B2 (260 px, 133 classes), the same images as base64 in JSON, the same client. `same`:
each server calls our handler's functions with ONNX Runtime and one thread, so that only the servers differ.
`default`: each with its own default settings and the image classifier of its documentation (Pillow,
torchvision, eager PyTorch); ours with the engine that it chooses. Servers that are not measured are
stopped. Needs `make peers` and Java 17.

    python benchmarks/serving.py
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from benchmarks.serving_candidates import Candidate, check, litserve, ours, question, torchserve
from benchmarks.timing import Ratio, Report, finish, interleave, paired_ratio
from benchmarks.timing import parser as make_parser
from tests.images import photo_jpeg

CLIENTS, IMAGES, CLASSES, SIZE = 8, 24, 133, 260
SAME = {"SWEEPMAKER_ENGINE": "onnx", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def make_model(folder: Path, jpegs: Sequence[bytes]) -> tuple[Path, Path]:
    """A model artifact, and the same weights as PyTorch saves them; nobody trained it.

    Its batch norms have the statistics of the images, so that it says different things of them.
    """
    import torch
    from lightning.pytorch import LightningDataModule
    from omegaconf import OmegaConf

    from sweepmaker.data.decode import decode_image
    from sweepmaker.data.transforms import evaluation_transform, normalise
    from sweepmaker.models.classifier import Classifier
    from sweepmaker.run import artifact

    spec = {
        "image_size": SIZE, "resize": SIZE, "interpolation": "bicubic", "antialias": True,
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
    }  # fmt: skip

    class Data(LightningDataModule):
        class_names = [f"breed {number}" for number in range(CLASSES)]  # noqa: RUF012

        def transform_spec(self) -> dict[str, object]:
            return spec

    torch.manual_seed(0)
    optimizer = functools.partial(torch.optim.SGD, lr=0.1)
    module = Classifier(name="efficientnet_b2", num_classes=CLASSES, weights="none", optimizer=optimizer)
    images = [evaluation_transform(spec)(decode_image(bytearray(jpeg), name="photo")) for jpeg in jpegs]
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        module.train().network(normalise(torch.stack(images), spec["mean"], spec["std"]))
    cfg = OmegaConf.create({"model": {"_target_": "sweepmaker.models.Classifier"}})
    artifact.export(folder / "model", module.eval(), Data(), cfg, None)
    torch.save(module.network.state_dict(), folder / "weights.pth")
    return folder / "model", folder / "weights.pth"


def asked(candidate: Candidate, bodies: Sequence[bytes], clients: int, seconds: float) -> list[float]:
    """Seconds of every request that ``clients`` make, one after the other each, for so long."""
    found: list[float] = []
    failures: list[str] = []
    end = time.monotonic() + seconds

    def client(first: int) -> None:
        try:
            ask(first)
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{type(error).__name__}: {error}")

    def ask(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", candidate.port, timeout=120)
        number = first
        while (begun := time.monotonic()) < end:
            connection.request(
                "POST", candidate.path, bodies[number % len(bodies)], {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                failures.append(f"it answered {response.status}")
                break
            found.append(time.monotonic() - begun)
            number += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:  # a client less is a measurement of something else
        raise SystemExit(f"{candidate.name} failed {len(failures)} of {clients} clients: {failures[0]}")
    return found


def classes(candidate: Candidate, bodies: Sequence[bytes]) -> list[int]:
    """The class that a server sees in each image."""
    connection = http.client.HTTPConnection("127.0.0.1", candidate.port, timeout=120)
    found = []
    for body in bodies:
        connection.request("POST", candidate.path, body, {"Content-Type": "application/json"})
        found.append(int(json.loads(connection.getresponse().read())["class"]))
    connection.close()
    return found


def measured(work: Callable[[Candidate], float], candidate: Candidate) -> Callable[[], float]:
    """``work`` with ``candidate`` awake and all others stopped."""

    def measure() -> float:
        candidate.go_on()
        try:
            return work(candidate)
        finally:
            candidate.pause()

    return measure


def main() -> None:
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement (%(default)s)")
    options = parser.parse_args()
    check()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the servers would stay, stopped
    jpegs = [photo_jpeg(seed) for seed in range(IMAGES)]
    bodies = [question(jpeg) for jpeg in jpegs]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        model, weights = make_model(folder, jpegs)
        same = SAME | {"SERVING_MODEL_DIR": str(model)}
        starts = [
            ours("ours same", model, folder, bodies[0], "--engine", "onnx"),
            torchserve("TorchServe same, 1 worker", "same", 1, folder, bodies[0], weights, **same),
            litserve("LitServe same, 2 workers", "same", "2", folder, bodies[0], **same),
            ours("ours default", model, folder, bodies[0]),
            torchserve("TorchServe default", "default", None, folder, bodies[0], weights),
            litserve(
                "LitServe default", "default", "default", folder, bodies[0], SERVING_WEIGHTS=str(weights)
            ),
            ours("ours plain", model, folder, bodies[0], "--engine", "plain", "--workers", "1"),
        ]
        candidates: dict[str, Candidate] = {}
        for start in starts:
            candidate = stack.enter_context(start)
            print(f"{candidate.name} answers", file=sys.stderr, flush=True)
            candidate.pause()
            candidates[candidate.name] = candidate
        said = {}
        for candidate in candidates.values():
            candidate.go_on()
            said[candidate.name] = classes(candidate, bodies)
            candidate.pause()
        rates = interleave(
            {
                name: measured(
                    lambda one: len(asked(one, bodies, CLIENTS, options.seconds)) / options.seconds, candidate
                )
                for name, candidate in candidates.items()
                if name != "ours plain"
            },
            repeats=options.repeats,
        )
        times = interleave(
            {
                name: measured(
                    lambda one: 1000 * statistics.median(asked(one, bodies, 1, options.seconds / 2)),
                    candidates[name],
                )
                for name in ("ours default", "ours plain", "TorchServe default", "LitServe default")
            },
            repeats=options.repeats,
        )
    finish(report(rates, times, said), options)


def report(
    rates: dict[str, list[float]], times: dict[str, list[float]], said: dict[str, list[int]]
) -> Report:
    """The table, and the ratios that are aimed at."""
    made = Report("serving EfficientNet-B2", "requests/s with 8 clients; ms with one")
    for name, values in rates.items():
        made.add(name, values)
    for name, values in times.items():
        made.add(f"{name}, one client", values)
    same, default = rates["ours same"], rates["ours default"]
    plain = said["ours plain"]
    for name, answers in said.items():
        agree = sum(one == other for one, other in zip(answers, plain, strict=True)) / len(plain)
        if agree < 1:
            print(f"{name}: the best class is PyTorch's for {agree:.0%} of {len(plain)} images")
    if said["ours default"] != plain:
        raise SystemExit("ours with its defaults does not see PyTorch's classes, so its time counts nothing")
    made.ratios = [
        Ratio("same engine, against TorchServe", paired_ratio(same, rates["TorchServe same, 1 worker"]), 1.7),
        Ratio("same engine, against LitServe", paired_ratio(same, rates["LitServe same, 2 workers"]), 1.0),
        Ratio("defaults, against TorchServe", paired_ratio(default, rates["TorchServe default"]), 3.0),
        Ratio("defaults, against LitServe", paired_ratio(default, rates["LitServe default"]), 2.0),
        Ratio("one request, against PyTorch", paired_ratio(times["ours plain"], times["ours default"]), 1.8),
    ]
    return made


if __name__ == "__main__":
    main()
