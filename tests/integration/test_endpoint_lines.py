"""Command lines of ``deploy.py`` about endpoints, as people type them; none of them needs an account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.endpoints.deploying import a_run
from tests.integration.runs import script

DRY = ("action=deploy", "run=outputs/2026-11-23/10-00-00", "dry_run=true")
ENDPOINT = ["create_model", "create_endpoint_config", "create_endpoint"]

SHOWN = [
    ("machines", DRY, ENDPOINT, "1 x ml.m5.large: 1 instance hour each hour"),
    ("serverless", (*DRY, "endpoint.serverless.memory_mb=2048"), ENDPOINT, "serverless, 2 GB"),
    ("embedded", (*DRY, "where=embedded", "name=dogs"), ENDPOINT, "endpoint dogs"),
    ("the best of them", ("action=deploy", "run=best", "dry_run=true"), ENDPOINT, "best: outputs/2026-11-23"),
    ("a job", ("action=deploy", "run=sweep-1", "dry_run=true"), ENDPOINT, "asked for when it is sent"),
    ("registered", (*DRY, "register=dogs"), ["create_model_package_group", "create_model_package"],
     "waits for approval"),
]  # fmt: skip

REFUSED = [
    ("no image", DRY[:2], ("endpoint.image: is needed", "docker/Dockerfile")),
    ("no role", (*DRY[:2], "endpoint.image=x/y:1"), ("where.role: is needed", "where.bucket")),
    ("money", (*DRY[:2], "endpoint.image=x/y:1", "where.role=arn:aws:iam::123456789012:role/x",
     "where.bucket=mine"), ("confirm: money starts running", "confirm=true")),
    ("no such run", ("action=deploy", "run=nothing/here", "dry_run=true"), ("nothing/here",)),
    ("a misspelled key", (*DRY, "endpoint.instnace=ml.m5.large"), ("endpoint.instance",)),
    ("a misspelled action", ("action=delpoy",), ("action=deploy",)),
    ("delete without a name", ("action=delete",), ("name: is needed", "action=list")),
    ("a sweep of deployments", (*DRY, "-m"), ("takes no -m",)),
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where somebody works who has one run."""
    folder = tmp_path_factory.mktemp("home")
    run = a_run(folder / "outputs" / "2026-11-23" / "10-00-00")
    objective = {"name": "valid/top1", "mode": "max", "value": 0.9}
    (run / "run.json").write_text(json.dumps({"state": "completed", "objective": objective}))
    return folder


@pytest.mark.parametrize(("what", "words", "operations", "told"), SHOWN, ids=[what for what, *_ in SHOWN])
def test_a_dry_run_prints_one_document(
    what: str, words: tuple[str, ...], operations: list[str], told: str, home: Path
) -> None:
    before = sorted(home.rglob("*"))
    ended = script("deploy.py", *words, cwd=home, AWS_DEFAULT_REGION="us-east-1")
    assert ended.code == 0, ended.err
    assert [call["operation"] for call in json.loads(ended.out)["requests"]] == operations
    assert told in ended.err
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize(("what", "words", "told"), REFUSED, ids=[what for what, *_ in REFUSED])
def test_a_mistake_is_one_message(
    what: str, words: tuple[str, ...], told: tuple[str, ...], home: Path
) -> None:
    ended = script("deploy.py", *words, cwd=home, AWS_DEFAULT_REGION="us-east-1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("error: ") == 1 and "Traceback" not in ended.err
    for text in told:
        assert text in ended.err
