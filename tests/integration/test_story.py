"""The founding user's way, whole, from class folders to a class number.

Statistics, a tuning job over learning rate and batch size, the best hyperparameters, findings, profiler
report, an endpoint, an image as base64 in: all through the embedded server.
"""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from PIL import Image

from tests.images import encoded
from tests.integration.runs import CHECKOUT, Ended, module, script

BREEDS = ("001.Affenpinscher", "002.Afghan_hound", "003.Airedale_terrier")
COLOURS = ((200, 60, 50), (50, 180, 70), (60, 80, 210))
IMAGES = {"train": 16, "valid": 6, "test": 6}  # of each breed
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def dog_images(root: Path) -> Path:
    """Folders shaped like dogImages: ``train/001.Affenpinscher/Affenpinscher_00001.jpg`` ..."""
    random = np.random.default_rng(0)
    for split, count in IMAGES.items():
        for breed, colour in zip(BREEDS, COLOURS, strict=True):
            folder = root / split / breed
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.array(colour) + random.normal(scale=35, size=(40, 48, 3))
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                path = folder / f"{breed.partition('.')[2]}_{number:05d}.jpg"
                path.write_bytes(encoded(image, "JPEG", quality=90))
    return root


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Where the user works; the server that the story starts is ended with it."""
    yield tmp_path
    module("launchers.embedded", "stop", "--root", str(tmp_path / ".embedded"), cwd=CHECKOUT)


def typed(home: Path, *words: str) -> Ended:
    """A command line of the story, which has to end well."""
    ended = script(*words, cwd=home, timeout=600)
    assert ended.code == 0, ended.err
    return ended


def last(ended: Ended) -> dict[str, Any]:
    return dict(json.loads(ended.out.strip().splitlines()[-1]))


def client(home: Path, service: str = "sagemaker-runtime") -> Any:
    """What asks the endpoint: it knows the address and the key, and nothing of us."""
    server = json.loads((home / ".embedded" / "server.json").read_text())
    key = json.loads((home / ".embedded" / "key.json").read_text())
    return boto3.session.Session().client(
        service,
        endpoint_url=server["endpoint_url"],
        region_name="us-east-1",
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
        config=Config(proxies={}),
    )


def test_the_founding_users_way(home: Path) -> None:
    dog_images(home / "dogImages")
    data = ("data=folder", "data.root=dogImages", "image_size=32")

    statistics = json.loads(typed(home, "data.py", "action=stats", *data).out)
    assert all(0 < value < 1 for value in statistics["mean"])

    sent = typed(
        home, "launch.py", "-m", *data, "lr=tag(log,interval(1e-3,3e-2))", "batch_size=8,16",
        "epochs=3", "model.name=mobilenet_v3_small", "model.weights=none", "job.max_jobs=4",
        "job.max_parallel_jobs=2", "where=embedded", "job.include_untracked=true",
    )  # fmt: skip
    job = last(sent)
    folder = home / job["folder"]
    assert job["status"] == "Completed"
    assert "best: " in sent.err and "to train it here: python train.py" in sent.err
    best = typed(home, "compare.py", f"runs={job['folder']}", "best=true").out.splitlines()
    assert "lr=" in best[0] and "batch_size=" in best[0]
    run = home / best[1]
    trials = [path for path in folder.iterdir() if (path / "run.json").exists()]
    assert len(trials) == 4
    for trial in trials:
        assert json.loads((trial / "debugger" / "findings.json").read_text())["rules"]
        assert "<html" in (trial / "profiler" / "report.html").read_text()

    deployed = typed(home, "deploy.py", "action=deploy", f"run={job['name']}", "where=embedded", "workers=1")
    endpoint = last(deployed)
    assert endpoint["status"] == "InService"
    assert "uploaded" not in deployed.err, "the trial's own artifact is deployed as it is"
    model = client(home, "sagemaker").describe_model(ModelName=endpoint["name"])["PrimaryContainer"]
    records = {trial: json.loads((trial / "run.json").read_text()) for trial in trials}
    (chosen,) = (
        trial for trial, found in records.items() if found["job"]["name"] in model["ModelDataUrl"].split("/")
    )
    # several trials may be as good as each other
    assert records[chosen]["objective"]["value"] == records[run]["objective"]["value"]
    runtime = client(home)
    right = 0
    for number, breed in enumerate(BREEDS):
        for path in sorted((home / "dogImages" / "test" / breed).iterdir()):
            body = base64.b64encode(path.read_bytes())
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint["name"], Body=body, ContentType="application/octet-stream"
            )
            told = int(answer["Body"].read())
            assert 0 <= told < len(BREEDS)
            right += told == number
    # the endpoint is right as often as the trial itself was on these images
    assert right / (len(BREEDS) * IMAGES["test"]) == pytest.approx(of_metrics(chosen, "test/top1"))

    deleted = last(typed(home, "deploy.py", "action=delete", f"name={endpoint['name']}", "where=embedded"))
    assert set(deleted["deleted"]) == {"endpoint", "endpoint config", "model"}
    listed = typed(home, "deploy.py", "action=list", "where=embedded")
    assert (listed.out, "no endpoints" in listed.err) == ("", True)


def of_metrics(run: Path, name: str) -> float:
    """The last value in a run's metrics.csv."""
    with (run / "metrics.csv").open(newline="") as file:
        values = [row[name] for row in csv.DictReader(file) if row.get(name)]
    return float(values[-1])
