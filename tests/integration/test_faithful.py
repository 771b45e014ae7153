"""The same tuning job under each runtime: what the trials composed, measured and left is equal."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.runs import CHECKOUT, TINY, module, script

RUNTIMES = ("fork", "process", "toolkit")
# of this machine or this moment, so different by nature
TIMES = ("seconds",)


def sweep(folder: Path, runtime: str) -> Path:
    """Collected results of one tuning job of two trials."""
    if runtime == "toolkit" and not (CHECKOUT / ".venv-toolkit" / "bin" / "train").exists():
        pytest.skip("AWS's toolkit is missing: make toolkit")
    folder.mkdir()
    words = [*TINY, "epochs=1", "lr=1e-3,1e-2", "job.strategy=Grid", "job.max_parallel_jobs=2", "seed=5"]
    try:
        ended = script(
            "launch.py", "-m", *words, "where=embedded", f"where.server.runtime={runtime}",
            "job.include_untracked=true", cwd=folder,
        )  # fmt: skip
        assert ended.code == 0, ended.err
        return folder / str(json.loads(ended.out.splitlines()[-1])["folder"])
    finally:
        module("launchers.embedded", "stop", cwd=folder)


def config(run: Path) -> dict[str, Any]:
    """As composed; Hydra's own part names folders and times."""
    found: dict[str, Any] = yaml.safe_load((run / ".hydra" / "config.yaml").read_text())
    return found


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)
        ]


@pytest.mark.slow
def test_every_runtime_gives_the_same(tmp_path: Path) -> None:
    first, *others = [sweep(tmp_path / runtime, runtime) for runtime in RUNTIMES]
    for number in ("0", "1"):
        one = first / number
        assert len(metrics(one)) == 2
        for other in (folder / number for folder in others):
            assert config(one) == config(other)
            assert metrics(one) == metrics(other)
            names = sorted(path.relative_to(one) for path in (one / "model").rglob("*") if path.is_file())
            assert names == sorted(
                path.relative_to(other) for path in (other / "model").rglob("*") if path.is_file()
            )
            assert (one / "model" / "model.safetensors").read_bytes() == (
                other / "model" / "model.safetensors"
            ).read_bytes()
            assert (one / "confusion_test.csv").read_text() == (other / "confusion_test.csv").read_text()


def test_the_request_is_the_one_that_aws_would_get(tmp_path: Path) -> None:
    """Nothing of it depends on where it goes, but what ``where`` itself says."""
    requests = []
    keys = {
        "region": "us-east-1",
        "bucket": "sweepmaker",
        "role": "arn:aws:iam::123456789012:role/sweepmaker",
    }
    for where in ("embedded", "sagemaker"):
        ended = script(
            "launch.py", "-m", "+experiment=b2", "lr=tag(log,interval(1e-4,1e-1))", f"where={where}",
            "job.name=same", *(f"where.{key}={value}" for key, value in keys.items()), "dry_run=true",
            "job.include_untracked=true", cwd=tmp_path,
        )  # fmt: skip
        assert ended.code == 0, ended.err
        request = json.loads(ended.out)["request"]
        name = request["HyperParameterTuningJobName"]  # with the second at which it was made
        requests.append(json.loads(json.dumps(request).replace(name, "name")))
    assert requests[0] == requests[1]
