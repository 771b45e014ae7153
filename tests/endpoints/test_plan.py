"""What a deployment would send, by its dry run, and what is refused before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from launchers.limits import violations
from sweepmaker.config.errors import ConfigError, UserError
from tests.endpoints.deploying import a_run, deploy

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_run(tmp_path_factory.mktemp("here") / "outputs" / "2026-11-23" / "10-00-00")


def requests(capsys: pytest.CaptureFixture[str], *lines: str) -> dict[str, dict[str, Any]]:
    """Operation to request, of a dry run; each passes the service's rules."""
    deploy("action=deploy", "dry_run=true", *lines)
    document = json.loads(capsys.readouterr().out)
    found = {one["operation"]: one["request"] for one in document["requests"]}
    for operation, request in found.items():
        assert violations(operation, request) == []
    return found


def test_an_endpoint_with_machines(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = requests(capsys, f"run={run}")
    assert list(found) == ["create_model", "create_endpoint_config", "create_endpoint"]
    name = found["create_endpoint"]["EndpointName"]
    assert name.startswith("mobilenet-v3-small-")
    assert found["create_endpoint"]["EndpointConfigName"] == name
    (variant,) = found["create_endpoint_config"]["ProductionVariants"]
    assert variant == {
        "VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1, "ContainerStartupHealthCheckTimeoutInSeconds": 480,
    }  # fmt: skip
    container = found["create_model"]["PrimaryContainer"]
    assert container["ModelDataUrl"].startswith("s3://sweepmaker-000000000000/sweepmaker/models/")
    assert "Environment" not in container
    tags = {tag["Key"]: tag["Value"] for tag in found["create_endpoint"]["Tags"]}
    assert tags["sweepmaker:run"] == "outputs/2026-11-23/10-00-00"  # nothing of this machine's paths
    again = requests(capsys, f"run={run}")
    assert again["create_model"]["PrimaryContainer"] == container  # the same model, the same address


def test_what_it_costs_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deploy("action=deploy", "dry_run=true", f"run={run}", "endpoint.count=2", "name=dogs")
    told = capsys.readouterr().err
    assert "endpoint dogs: 2 x ml.m5.large: 2 instance hours each hour, until it is deleted" in told
    deploy("action=deploy", "dry_run=true", f"run={run}", "endpoint.serverless.memory_mb=2048")
    assert "at most 10 GB hours an hour, nothing while nobody asks" in capsys.readouterr().err


def test_a_serverless_endpoint(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = requests(capsys, f"run={run}", "endpoint.serverless.memory_mb=3072", f"where.kms_key='{KEY}'")
    assert "EnableNetworkIsolation" not in found["create_model"]
    assert found["create_model"]["PrimaryContainer"]["Environment"] == {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "4"}
    config = found["create_endpoint_config"]
    assert "KmsKeyId" not in config
    assert config["ProductionVariants"][0]["ServerlessConfig"] == {
        "MemorySizeInMB": 3072,
        "MaxConcurrency": 5,
    }


def test_account_and_network(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = requests(
        capsys, f"run={run}", "where.subnets=[subnet-1]", "where.security_groups=[sg-1]",
        "where.network_isolation=true", f"where.kms_key='{KEY}'", "engine=onnx", "top_k=3", "workers=2",
        "threads=2", "limits.timeout_s=30",
    )  # fmt: skip
    assert found["create_model"]["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    assert found["create_model"]["EnableNetworkIsolation"] is True
    assert found["create_endpoint_config"]["KmsKeyId"] == KEY
    assert found["create_model"]["PrimaryContainer"]["Environment"] == {
        "SWEEPMAKER_ENGINE": "onnx", "SWEEPMAKER_THREADS": "2", "SWEEPMAKER_TOP_K": "3",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2", "SAGEMAKER_MODEL_SERVER_TIMEOUT": "30",
    }  # fmt: skip
    local = requests(capsys, f"run={run}", "endpoint.instance=ml.g5.xlarge", f"where.kms_key='{KEY}'")
    assert "KmsKeyId" not in local["create_endpoint_config"], "its own disk takes no key"


def test_the_containers_variables_are_understood_by_the_server(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sweepmaker.serving.server.settings import Settings

    found = requests(
        capsys, f"run={run}", "engine=onnx", "top_k=3", "workers=2", "threads=2", "limits.payload_mb=5.5"
    )
    read = Settings.read(["--model-dir", "x"], found["create_model"]["PrimaryContainer"]["Environment"])
    assert (read.engine, read.top_k, read.workers, read.threads) == ("onnx", 3, 2, 2)
    assert read.limits.payload_mb == 5.5


def test_a_registration(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = requests(capsys, f"run={run}", "register=dogs")
    assert list(found) == ["create_model_package_group", "create_model_package"]
    package = found["create_model_package"]
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ModelPackageGroupName"] == "dogs"
    specification = package["InferenceSpecification"]
    assert specification["SupportedRealtimeInferenceInstanceTypes"] == ["ml.m5.large"]
    assert "image/jpeg" in specification["SupportedContentTypes"]


def test_a_jobs_best_trial_by_its_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an account: where it was collected here its address is known."""
    monkeypatch.chdir(tmp_path)
    deploy("action=deploy", "dry_run=true", "run=sweep-1")
    told = capsys.readouterr()
    assert "is asked for when it is sent" in told.err
    assert "/jobs/sweep-1/output/model.tar.gz" in told.out
    sweep = tmp_path / "multirun" / "2026-11-23" / "10-00-00"
    a_run(sweep / "0")
    objective = {"name": "valid/top1", "mode": "max", "value": 0.9}
    job = {"name": "sweep-1-001-abcdef01", "tuning_job": "sweep-1"}
    record = {"state": "completed", "objective": objective, "job": job}
    (sweep / "0" / "run.json").write_text(json.dumps(record))
    definition = {"OutputDataConfig": {"S3OutputPath": "s3://mine/team/jobs/"}}
    launch = {"name": "sweep-1", "request": {"TrainingJobDefinition": definition}}
    (sweep / "launch.json").write_text(json.dumps(launch))
    found = requests(capsys, "run=sweep-1")
    data = found["create_model"]["PrimaryContainer"]["ModelDataUrl"]
    assert data == "s3://mine/team/jobs/sweep-1-001-abcdef01/output/model.tar.gz"


REFUSED = [
    ("no run", ["dry_run=true"], "run", "whose model"),
    ("no image", [], "endpoint.image", "docker/Dockerfile"),
    ("nobody agreed to the costs", ["endpoint.image=x/y:1"], "confirm", "1 instance hour each hour"),
    ("a name", ["dry_run=true", "name=a_b"], "name", "letters, digits and hyphens"),
    ("a machine", ["dry_run=true", "endpoint.instance=m5"], "endpoint.instance", "ml.m5.large"),
    ("a machine that is none", ["dry_run=true", "endpoint.instance=ml.x9.huge"], "endpoint.instance",
     "ml.x9.huge"),
    ("memory", ["dry_run=true", "endpoint.serverless.memory_mb=3000"], "endpoint.serverless.memory_mb",
     "3072"),
    ("a time", ["dry_run=true", "endpoint.startup_s=5"], "endpoint.startup_s", "60 to 3600"),
    ("an unknown key", ["dry_run=true", "+endpoint.cuont=2"], "endpoint", "count"),
    ("half a VPC", ["dry_run=true", "where.subnets=[subnet-1]"], "where.security_groups", "VPC"),
    ("serverless in a VPC", ["dry_run=true", "endpoint.serverless.memory_mb=2048",
     "where.network_isolation=true"], "where.network_isolation", "serverless"),
    ("serverless and 6 MB", ["dry_run=true", "endpoint.serverless.memory_mb=2048", "limits.payload_mb=6"],
     "limits.payload_mb", "4 MB"),
    ("a key of the local server", ["dry_run=true", "batch.max=4"], "batch.max", "on this machine"),
    ("the role", ["endpoint.image=x/y:1", "confirm=true"], "where.role", "the endpoint runs as"),
    ("a secret", ["dry_run=true", "endpoint.image=https://user:password@host/image"], "endpoint.image",
     "password"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "lines", "key", "told"), REFUSED, ids=[one[0] for one in REFUSED])
def test_what_is_refused(
    what: str, lines: list[str], key: str, told: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    model = [] if what == "no run" else [f"run={run}"]
    with pytest.raises(ConfigError) as caught:
        deploy("action=deploy", "where.region=us-east-1", *model, *lines)
    assert caught.value.key == key
    assert told in str(caught.value)


@pytest.mark.parametrize("action", ["delete", "invoke"])
def test_an_action_needs_a_name(action: str) -> None:
    with pytest.raises(ConfigError, match="which endpoint"):
        deploy(f"action={action}")


def test_a_model_that_is_broken_is_not_deployed(tmp_path: Path) -> None:
    broken = a_run(tmp_path / "run")
    weights = broken / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model\.safetensors"):
        deploy("action=deploy", "where=embedded", f"where.root={tmp_path / 'root'}", f"run={broken}")
    assert not (tmp_path / "root").exists()
