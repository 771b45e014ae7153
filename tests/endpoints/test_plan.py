"""What a deployment would send, by its dry run, and what is refused before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from launchers.aws.account import fill_in
from launchers.endpoints import plan, settings
from launchers.endpoints.source import Source
from launchers.limits import violations
from sweepmaker.config.errors import ConfigError, UserError
from tests.endpoints.deploying import a_run, composed, deploy

ROLE = "where.role='arn:aws:iam::123456789012:role/sweepmaker'"
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


def requests(capsys: pytest.CaptureFixture[str], *lines: str) -> dict[str, dict[str, Any]]:
    """Operation to request, of a dry run; each passes the service's rules."""
    deploy("action=deploy", "dry_run=true", *lines)
    document = json.loads(capsys.readouterr().out)
    found = {one["operation"]: one["request"] for one in document["requests"]}
    for operation, request in found.items():
        assert violations(operation, request) == []
    return found


@contextmanager
def planned(lines: list[str]) -> Iterator[plan.Plan]:
    """The plan for a job's own artifact, which lies in S3 file by file."""
    with composed("action=deploy", *lines) as cfg:
        options = settings.validate(cfg, lines)
        model = Source("sweep-1-001", "dogs", address="s3://mine/sweep-1-001/output/model/")
        with plan.make(cfg, options, model, fill_in(cfg.where)) as made:
            yield made


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


def test_a_job_that_was_collected_here_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "multirun" / "2026-11-23" / "10-00-00" / "0"
    run.mkdir(parents=True)
    (run.parent / "launch.json").write_text(json.dumps({"name": "sweep-1"}))
    deploy("action=deploy", "dry_run=true", "run=sweep-1")  # sent, and nothing is here yet
    objective = {"name": "valid/top1", "mode": "max", "value": 0.9}
    (run / "run.json").write_text(json.dumps({"state": "completed", "objective": objective}))
    with pytest.raises(ConfigError, match="model"):
        deploy("action=deploy", "dry_run=true", "run=sweep-1")


REFUSED = [
    ("no run", ["dry_run=true"], "run", "whose model"),
    ("no image", [], "endpoint.image", "docker/Dockerfile"),
    ("no image, role and bucket", [], "endpoint.image", "where.role is needed, too; where.bucket is"),
    ("nobody agreed to the costs", ["endpoint.image=x/y:1", "where.bucket=mine", ROLE], "confirm",
     "1 instance hour each hour"),
    ("a name", ["dry_run=true", "name=a_b"], "name", "letters, digits and hyphens"),
    ("a machine", ["dry_run=true", "endpoint.instance=m5"], "endpoint.instance", "ml.m5.large"),
    ("a machine that is none", ["dry_run=true", "endpoint.instance=ml.x9.huge"], "endpoint.instance",
     "ml.x9.huge"),
    ("memory", ["dry_run=true", "endpoint.serverless.memory_mb=3000"], "endpoint.serverless.memory_mb",
     "3072"),
    ("a time", ["dry_run=true", "endpoint.startup_s=5"], "endpoint.startup_s", "60 to 3600"),
    ("an unknown key", ["dry_run=true", "+endpoint.cuont=2"], "endpoint.cuont",
     "did you mean endpoint.count?"),
    ("half a VPC", ["dry_run=true", "where.subnets=[subnet-1]"], "where.security_groups", "VPC"),
    ("serverless in a VPC", ["dry_run=true", "endpoint.serverless.memory_mb=2048",
     "where.network_isolation=true"], "where.network_isolation", "serverless"),
    ("serverless and 6 MB", ["dry_run=true", "endpoint.serverless.memory_mb=2048", "limits.payload_mb=6"],
     "limits.payload_mb", "4 MB"),
    ("a key of the local server", ["dry_run=true", "batch.max=4"], "batch.max", "on this machine"),
    ("the role", ["endpoint.image=x/y:1"], "where.role", "the endpoint runs as, and so is where.bucket"),
    ("the bucket", ["endpoint.image=x/y:1", ROLE], "where.bucket", "for what is uploaded"),
    ("the bucket of a registration", ["endpoint.image=x/y:1", "register=dogs"], "where.bucket", "uploaded"),
    ("a registration with a name", ["dry_run=true", "register=dogs", "name=cats"], "name", "register"),
    ("no group", ["dry_run=true", "endpoint.serverless=null"], "endpoint.serverless", "memory_mb"),
    ("a number as group", ["dry_run=true", "endpoint.serverless=2048"], "endpoint.serverless", "memory_mb"),
    ("a word as group", ["dry_run=true", "endpoint.serverless=x"], "endpoint.serverless", "memory_mb"),
    ("20 MB", ["dry_run=true", "limits.payload_mb=20"], "limits.payload_mb", "takes 6 MB"),
    ("5 minutes", ["dry_run=true", "limits.timeout_s=300"], "limits.timeout_s", "within 60 seconds"),
    ("a GPU's engine", ["dry_run=true", "engine=compile"], "engine", "ml.m5.large has none"),
    ("images", ["dry_run=true", "images=photos"], "images", "not about an endpoint"),
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


@pytest.mark.parametrize("instance", ["ml.g5.xlarge", "ml.gr6.4xlarge", "ml.p4d.24xlarge"])
def test_a_gpus_engine_goes_with_a_gpu(instance: str) -> None:
    lines = ["run=sweep-1", "engine=compile", f"endpoint.instance={instance}"]
    with composed("action=deploy", *lines) as cfg:
        assert settings.validate(cfg, lines).engine == "compile"


@pytest.mark.parametrize("action", ["delete", "invoke"])
def test_an_action_needs_a_name(action: str) -> None:
    with pytest.raises(ConfigError, match="which endpoint"):
        deploy(f"action={action}")


@pytest.mark.parametrize("more", [[], ["images=notes.txt"], ["images=nowhere.png"]])
def test_nobody_is_connected_to_for_an_image_that_is_none(
    more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With where=embedded that would start a server, which stays."""
    monkeypatch.setattr("launchers.endpoints.task.connect", lambda *_: pytest.fail("asks for clients"))
    with pytest.raises(UserError, match=r"images|nowhere\.png cannot be read"):
        deploy("action=invoke", "name=dogs", *more)


def test_a_serverless_endpoint_of_a_model_that_is_not_packed() -> None:
    lines = ["run=sweep-1", "endpoint.image=x/y:1", ROLE, "endpoint.serverless.memory_mb=2048"]
    with pytest.raises(ConfigError, match="packed model only") as caught, planned(lines):
        pass
    assert caught.value.key == "endpoint.serverless.memory_mb"


@pytest.mark.parametrize("more", [[ROLE], ["register=dogs"]], ids=["machines", "registered"])
def test_a_model_that_is_not_packed(more: list[str]) -> None:
    """Nothing is uploaded, so no bucket is needed; a registration runs nothing, so it needs no role."""
    with planned(["run=sweep-1", "endpoint.image=x/y:1", *more]) as made:
        first = next(call.request for call in made.calls if "model_package_group" not in call.operation)
    (container,) = first.get("InferenceSpecification", {}).get("Containers") or [first["PrimaryContainer"]]
    assert container["ModelDataSource"]["S3DataSource"] == {
        "S3Uri": "s3://mine/sweep-1-001/output/model/", "S3DataType": "S3Prefix", "CompressionType": "None",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["run=sweep-1"], "endpoint.image, where.role, where.bucket"),
        (["run=sweep-1", "register=dogs"], "endpoint.image, where.bucket"),
    ],
)  # fmt: skip
def test_only_what_is_needed_has_a_placeholder(
    lines: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    deploy("action=deploy", "dry_run=true", "where.region=us-east-1", *lines)
    found = [
        line.partition(": ")[2] for line in capsys.readouterr().err.splitlines() if "placeholder" in line
    ]
    assert ", ".join(found) == told


@pytest.mark.parametrize("dry_run", ["false", "true"])
def test_a_model_that_is_broken_is_not_deployed(tmp_path: Path, dry_run: str) -> None:
    broken = a_run(tmp_path / "run")
    weights = broken / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model\.safetensors"):
        deploy(
            "action=deploy", "where=embedded", f"where.root={tmp_path / 'root'}", f"run={broken}",
            f"dry_run={dry_run}",
        )  # fmt: skip
    assert not (tmp_path / "root").exists()
