"""No false findings: the default run and a head on cached features, five seeds each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.runs import train

pytestmark = [pytest.mark.accept, pytest.mark.timeout(7200)]

RUNS = {
    "b2": ["+experiment=b2"],
    "head": ["+experiment=head", "data.augment.crop_scale=null", "data.augment.hflip=0"],
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", RUNS)
def test_a_healthy_run_has_no_findings(name: str, seed: int, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = train(*RUNS[name], f"seed={seed}", f"hydra.run.dir={folder}", timeout=3600, OMP_NUM_THREADS="")
    assert ended.code == 0, ended.err
    rules = json.loads((folder / "debugger" / "findings.json").read_text())["rules"]
    assert {rule: report["findings"] for rule, report in rules.items() if report["count"]} == {}
    assert {report["status"] for report in rules.values()} == {"NoIssuesFound"}
    assert (folder / "debugger" / "observations.jsonl.gz").stat().st_size < 13 << 20
