"""Launches against moto's server with real boto3: what arrives, what is uploaded, what is kept."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import OmegaConf
from PIL import Image

from launchers.aws.account import fill_in
from launchers.aws.clients import Clients, connect
from launchers.jobs import settings
from launchers.jobs.compose import launch_config, without_launch
from launchers.jobs.space import Space, parse
from launchers.limits import violations
from sweepmaker.container import overrides
from tests.jobs.aws import BUCKET
from tests.jobs.launching import CHECKOUT, account, sweep

KEY = "12345678-1234-1234-1234-123456789abc"
LR = "lr=tag(log,interval(1e-4,1e-1))"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A tree of class folders with generated images."""
    for split, count in (("train", 4), ("valid", 2), ("test", 2)):
        for label in ("cat", "dog"):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                shade = (index * 30 + (label == "cat") * 100, 80, len(split))
                Image.new("RGB", (20, 16), shade).save(folder / f"{index}.png")
    return tmp_path / "photos"


def kept(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "launch.json").read_text())
    return content


def test_a_sweep_is_one_tuning_job(tmp_path: Path, where: dict[str, Any], clients: Clients) -> None:
    folder = tmp_path / "sweep"
    sweep(folder, *account(where), "+experiment=b2", LR, "batch_size=8,16,32", "job.seed=0")
    entry = kept(folder)
    name = entry["request"]["HyperParameterTuningJobName"]
    described = clients.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    ranges = described["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert ranges["CategoricalParameterRanges"] == [{"Name": "batch_size", "Values": ["8", "16", "32"]}]
    assert ranges["ContinuousParameterRanges"][0]["ScalingType"] == "Logarithmic"
    assert described["HyperParameterTuningJobConfig"]["RandomSeed"] == 0  # the SDK's tuner drops it
    assert entry["state"] == "sent"
    assert entry["arn"] == described["HyperParameterTuningJobArn"]
    assert violations(entry["operation"], entry["request"]) == []
    listed = yaml.safe_load((folder / "multirun.yaml").read_text())
    assert "batch_size=8,16,32" in listed["overrides"]


def test_what_a_trial_unpacks(tmp_path: Path, where: dict[str, Any], clients: Clients) -> None:
    sweep(tmp_path / "sweep", *account(where), "+experiment=b2", LR, "epochs=3")
    request = kept(tmp_path / "sweep")["request"]
    code = request["TrainingJobDefinition"]["StaticHyperParameters"]["sagemaker_submit_directory"]
    body = clients.s3.get_object(Bucket=BUCKET, Key=code.removeprefix(f"s3://{BUCKET}/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        names = archive.getnames()
        member = archive.extractfile(overrides.STATIC_FILE)
        assert member is not None
        static = json.loads(member.read())
    assert {"train.py", "conf/train.yaml", "src/sweepmaker/container/entry.py"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "launchers/"))]
    assert static["overrides"] == ["+experiment=b2", "epochs=3"]


def test_the_same_launch_uploads_its_code_once(
    tmp_path: Path, where: dict[str, Any], clients: Clients
) -> None:
    for folder in ("one", "two"):
        sweep(tmp_path / folder, *account(where), LR)
    requests = [kept(tmp_path / folder)["request"] for folder in ("one", "two")]
    assert requests[0]["HyperParameterTuningJobName"] != requests[1]["HyperParameterTuningJobName"]
    assert len(clients.s3.list_objects_v2(Bucket=BUCKET)["Contents"]) == 1


def test_resume_finds_the_job(
    tmp_path: Path, where: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path / "sweep", *account(where), LR)
    first = json.loads(capsys.readouterr().out)
    sweep(tmp_path / "other", *account(where), LR, f"resume='{tmp_path / 'sweep'}'")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["name"] == first["name"]
    assert "found:" in captured.err
    assert not (tmp_path / "other").exists()


def test_stage_uploads_and_creates_nothing(tmp_path: Path, where: dict[str, Any], clients: Clients) -> None:
    sweep(tmp_path / "sweep", *account(where), LR, "stage=true")
    assert clients.s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1
    assert clients.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []


def test_images_travel_as_a_channel(
    tmp_path: Path, where: dict[str, Any], clients: Clients, photos: Path
) -> None:
    sweep(tmp_path / "sweep", *account(where), LR, "data=folder", f"data.root='{photos}'")
    request = kept(tmp_path / "sweep")["request"]
    (channel,) = request["TrainingJobDefinition"]["InputDataConfig"]
    uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
    assert channel["ChannelName"] == "data" and uri.endswith("/")
    prefix = uri.removeprefix(f"s3://{BUCKET}/")
    stored = clients.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    assert len(stored) == len(list(photos.rglob("*.png")))


def test_an_s3_root_is_used_as_it_is(tmp_path: Path, where: dict[str, Any]) -> None:
    sweep(tmp_path / "sweep", *account(where), LR, "data=folder", "data.root='s3://else/dogs'")
    (channel,) = kept(tmp_path / "sweep")["request"]["TrainingJobDefinition"]["InputDataConfig"]
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == "s3://else/dogs/"


def test_every_setting_reaches_the_request(tmp_path: Path, where: dict[str, Any]) -> None:
    lines = [
        "where.subnets=[subnet-1]", "where.security_groups=[sg-1]", "where.encrypt_traffic=true",
        f"where.kms_key='{KEY}'", "job.spot=true", "job.max_wait_s=20000", "job.retries=2",
        "job.completion.target=0.0", "job.completion.not_improving_jobs=3",
        "job.completion.on_convergence=true",
        "job.warm_start.parents=[earlier]", "job.input_mode=FastFile", "job.max_tuning_s=36000",
        "job.channels={extra:'s3://b/extra/'}", "job.environment={NCCL_DEBUG:INFO}", "job.tags={team:vision}",
        "job.instances=[{type:ml.m5.xlarge,volume_gb:60},{type:ml.c5.xlarge}]", "job.max_parallel_jobs=3",
        "job.max_pending_s=7200",
    ]  # fmt: skip
    sweep(tmp_path / "sweep", *account(where), LR, *lines)
    request = kept(tmp_path / "sweep")["request"]
    config, trial = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    assert config["TuningJobCompletionCriteria"] == {
        "TargetObjectiveMetricValue": 0.0,
        "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3},
        "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"},
    }
    assert config["ResourceLimits"]["MaxRuntimeInSeconds"] == 36000
    assert request["WarmStartConfig"]["WarmStartType"] == "TransferLearning"
    assert trial["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 14400, "MaxWaitTimeInSeconds": 20000, "MaxPendingTimeInSeconds": 7200,
    }  # fmt: skip
    machines = trial["HyperParameterTuningResourceConfig"]
    assert [one["VolumeSizeInGB"] for one in machines["InstanceConfigs"]] == [60, 50]
    assert machines["VolumeKmsKeyId"] == trial["OutputDataConfig"]["KmsKeyId"] == KEY
    assert "ResourceConfig" not in trial
    assert trial["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    assert trial["EnableManagedSpotTraining"] is trial["EnableInterContainerTrafficEncryption"] is True
    assert trial["RetryStrategy"] == {"MaximumRetryAttempts": 2}
    assert trial["Environment"]["NCCL_DEBUG"] == "INFO"
    assert {"Key": "team", "Value": "vision"} in request["Tags"]
    assert trial["InputDataConfig"][0]["ChannelName"] == "extra"


@pytest.mark.parametrize(
    "experiment", sorted(path.stem for path in (CHECKOUT / "conf/experiment").glob("*.yaml"))
)
def test_every_experiment_makes_a_request(
    experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], aws_environment: object
) -> None:
    root = [f"data.root='{tmp_path}'"] if experiment == "b2_dogs" else []
    sweep(
        tmp_path / "sweep",
        f"+experiment={experiment}",
        LR,
        *root,
        "dry_run=true",
        "job.include_untracked=true",
    )
    document = json.loads(capsys.readouterr().out)
    assert violations(document["operation"], document["request"]) == []


JOB_CONFIGS = [
    file for group in ("job", "where", "search") for file in (CHECKOUT / "conf" / group).glob("*.yaml")
]


@pytest.mark.parametrize("file", sorted(JOB_CONFIGS), ids=lambda path: path.stem)
def test_job_configs_compose(file: Path) -> None:
    group = file.parent.name
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        cfg = compose("launch", overrides=[f"{group}={file.stem}"], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        settings.validate(cfg, sweep=True)
        # what the file says is what is composed
        said = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        node = cfg.hydra.sweeper if group == "search" else cfg[group]
        section = OmegaConf.to_container(node, resolve=False)
        assert isinstance(said, dict) and isinstance(section, dict)
        said.pop("defaults", None)
        assert {key: section[key] for key in said} == said


@pytest.mark.parametrize("experiment", ["b2", "b2_fashion", "head"])
def test_a_launch_sees_the_config_that_the_trial_composes(experiment: str) -> None:
    lines = [f"+experiment={experiment}", "lr=0.5", "+custom.x=[1,'2']", "model.dropout=0.2"]
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        launched = launch_config(Space((), tuple(lines)), "launch", [], loader)
        trained = compose("train", overrides=lines)
        assert without_launch(launched) == trained


@pytest.mark.parametrize(
    "lines",
    [
        ["+experiment=b2", "lr=1e-3,3e-3", "model.dropout=0.2", "batch_size=8,16"],
        ["callbacks.early_stopping.patience=1,2", "callbacks=early_stopping", "+custom.x=3"],
        ["lr='tag(log,interval(1e-4,1e-1))'", "model=resnet50,efficientnet_b2", "job.max_jobs=3"],
        ["+custom.x=1,2", "epochs=1,2", "job=cpu"],
    ],
)
def test_the_sweeps_own_config_serves_as_well_as_a_new_one(lines: list[str]) -> None:
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        sweep = loader.load_configuration("launch", lines, RunMode.MULTIRUN)
        space = parse(lines, loader)
        composed = launch_config(space, "launch", [], loader)
        assert without_launch(launch_config(space, "launch", [], loader, sweep)) == without_launch(composed)


def test_a_key_that_is_not_there_is_refused_in_hydras_words() -> None:
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        lines = ["lrr=1,2"]
        sweep = loader.load_configuration("launch", lines, RunMode.MULTIRUN)
        with pytest.raises(ConfigCompositionException, match="Could not override 'lrr'"):
            launch_config(parse(lines, loader), "launch", [], loader, sweep)


def test_a_dry_run_of_a_resume_shows_what_was_kept(
    tmp_path: Path, where: dict[str, Any], clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path / "sweep", *account(where), LR)
    request = kept(tmp_path / "sweep")["request"]
    clients.sagemaker.delete_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=request["HyperParameterTuningJobName"]
    )
    capsys.readouterr()
    sweep(tmp_path / "other", f"resume='{tmp_path / 'sweep'}'", "dry_run=true")
    assert json.loads(capsys.readouterr().out)["request"] == request
    assert clients.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []


def test_one_region_for_image_and_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    where = OmegaConf.create(dict.fromkeys(("region", "profile", "role", "bucket")))
    assert fill_in(where).region == connect({}).region == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert fill_in(where).region == connect({}).region == "us-west-2"


def test_local_weights_travel(tmp_path: Path, where: dict[str, Any], clients: Clients) -> None:
    file = tmp_path / "net.safetensors"
    file.write_bytes(b"weights")
    sweep(tmp_path / "sweep", *account(where), LR, f"model.weights='{file}'")
    (channel,) = kept(tmp_path / "sweep")["request"]["TrainingJobDefinition"]["InputDataConfig"]
    prefix = channel["DataSource"]["S3DataSource"]["S3Uri"].removeprefix(f"s3://{BUCKET}/")
    (stored,) = clients.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    assert stored["Key"].endswith("/net.safetensors")
