"""Bad sweeps and settings: each has its own message, and nothing is uploaded or sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launchers.aws.clients import connect
from sweepmaker.config import hydra_errors
from sweepmaker.config.errors import ConfigError
from tests.jobs.aws import BUCKET
from tests.jobs.launching import sweep

LR = "lr=1e-3,3e-3"

# what is wrong, the lines, what the message says
BAD: list[tuple[str, list[str], tuple[str, ...]]] = [
    ("a typo in a swept key", ["lrr=1,2"], ("lrr", "did you mean", "lr")),
    ("a typo in a nested swept key", ["model.dropuot=0.1,0.2"], ("model.dropuot", "dropout")),
    ("a typo in a fixed key", [LR, "epoch=3"], ("epoch", "did you mean", "epochs")),
    ("an option that does not exist", ["model=resnet50,resnet5"], ("model", "resnet5", "resnet50")),
    ("a swept value that training refuses", ["batch_size=0,16"], ("batch_size", "whole number from 1")),
    ("an interval whose end training refuses", ["lr=interval(-1,1)"], ("lr", "above 0")),
    ("a wrong type", ["epochs=many,few"], ("epochs", "whole number")),
    ("a fixed value that training refuses", [LR, "seed=-1"], ("seed", "whole number from 0")),
    (
        "an interval of whole numbers",
        ["epochs=interval(2,6)"],
        ("epochs: takes whole numbers", "epochs='int(interval(2,6))'"),
    ),
    (
        "a scaled interval of whole numbers",
        ["batch_size=tag(log,interval(7.5,64.5))"],
        ("batch_size: takes whole numbers", "batch_size='tag(log,int(interval(8,64)))'"),
    ),
    ("an interval without a whole number", ["epochs=interval(2.1,2.9)"], ("epochs", "whole number")),
    (
        "more epochs than Hyperband takes",
        [LR, "epochs=30000", "job.strategy=Hyperband"],
        ("job.hyperband.max_epochs: 30000", "20000"),
    ),
    ("an integer interval below the least", ["image_size=int(interval(1,64))"], ("image_size", "from 8")),
    ("nothing swept", ["lr=1e-3"], ("nothing is swept", "leave out -m")),
    ("a swept job key", ["job.max_jobs=1,2"], ("job.max_jobs", "one sweep is one job")),
    ("a swept account", ["where.region=us-east-1,eu-west-1"], ("where.region", "one job in one account")),
    ("a swept root", ["data.root=a,b"], ("data.root", "one channel")),
    ("a swept data source", ["data=digits,fashion_mnist"], ("data.source", "one value for all trials")),
    ("a swept Hydra key", ["hydra.verbose=true,false"], ("hydra.verbose", "Hydra's own")),
    ("a swept deletion", ["~custom=1,2"], ("~custom", "deletion")),
    ("31 values", ["epochs=" + ",".join(map(str, range(1, 32)))], ("31 values", "at most 30")),
    ("31 keys", ["lr=1,2", *(f"+custom.k{i}=1,2" for i in range(30))], ("30",)),
    ("the same value twice", ["lr=1e-3,0.001"], ("0.001", "twice")),
    ("a key fixed and swept", [LR, "++lr=2"], ("lr", "sweeps")),
    ("an unknown scale", ["lr=tag(exp,interval(1,2))"], ("lr", "not a scale", "reverse_log")),
    ("a logarithm of nothing", ["lr=tag(log,interval(0,1))"], ("lr", "bounds above 0")),
    ("a reversed interval", ["lr=interval(1,0.1)"], ("lr", "lower bound first")),
    ("an interpolation", ["lr=${custom.x},2"], ("lr", "refers to another key")),
    ("a long value", [f"+custom.x={'x' * 257},b"], ("256 characters", "config group")),
    ("an unknown strategy", [LR, "job.strategy=TPE"], ("job.strategy", "Bayesian")),
    ("Grid over an interval", ["lr=interval(0.1,1)", "job.strategy=Grid"], ("job.strategy", "single values")),
    ("Grid with another number", [LR, "job.strategy=Grid", "job.max_jobs=3"], ("job.max_jobs=2", "all 2")),
    (
        "a grid too large",
        [f"{key}=" + ",".join(map(str, range(1, 11))) for key in ("epochs", "seed", "batch_size")]
        + ["job.strategy=Grid"],
        ("1000 combinations", "750"),
    ),
    (
        "Hyperband that also stops early",
        ["lr=interval(0.1,1)", "job.strategy=Hyperband", "job.early_stopping=Auto"],
        ("job.early_stopping", "by itself"),
    ),
    (
        "Hyperband's bounds reversed",
        ["lr=interval(0.1,1)", "job.strategy=Hyperband", "job.hyperband.min_epochs=50"],
        ("job.hyperband", "50"),
    ),
    ("no parallel jobs", [LR, "job.max_parallel_jobs=0"], ("job.max_parallel_jobs", "from 1")),
    (
        "more trials than the quota",
        ["lr=interval(0.1,1)", "job.max_jobs=800", "job.max_instance_hours=null"],
        ("750",),
    ),
    ("no trials", [LR, "job.max_jobs=0"], ("job.max_jobs", "from 1")),
    ("too expensive", ["lr=interval(0.1,1)", "job.max_jobs=100"], ("job.max_instance_hours", "400 hours")),
    ("a negative bound", [LR, "job.max_instance_hours=-1"], ("job.max_instance_hours", "above 0")),
    ("a run of no time", [LR, "job.max_runtime_s=0"], ("job.max_runtime_s", "from 1")),
    ("a run of a year", [LR, "job.max_runtime_s=31536000"], ("job.max_runtime_s", "2419200")),
    ("a tuning job of a minute", [LR, "job.max_tuning_s=60"], ("job.max_tuning_s", "120")),
    ("a wait without spot", [LR, "job.max_wait_s=9000"], ("job.max_wait_s", "job.spot=true")),
    (
        "a wait shorter than the run",
        [LR, "job.spot=true", "job.max_wait_s=60"],
        ("job.max_wait_s", "at least"),
    ),
    ("warm machines in a sweep", [LR, "job.keep_alive_s=600"], ("job.keep_alive_s", "tuning job")),
    ("an unknown machine", [LR, "job.instance_type=ml.g5.huge"], ("job.instance_type", "ml.g5")),
    ("a machine without ml.", [LR, "job.instance_type=g5.xlarge"], ("job.instance_type", "ml.g5.xlarge")),
    ("no machine", [LR, "job.instance_count=0"], ("job.instance_count", "from 1")),
    ("no disk", [LR, "job.volume_gb=0"], ("job.volume_gb", "from 1")),
    ("too many retries", [LR, "job.retries=31"], ("job.retries", "30")),
    ("half a VPC", [LR, "where.subnets=[subnet-1]"], ("where.security_groups", "needed too")),
    ("an index without network", [LR, "where.network_isolation=true"], ("job.packages", "wheelhouse")),
    (
        "code from S3 without network",
        [LR, "where.network_isolation=true", "job.packages=wheelhouse", "job.code=s3"],
        ("job.code", "channel"),
    ),
    ("AWS's image with nothing installed", [LR, "job.packages=image"], ("job.packages", "docker/Dockerfile")),
    ("a torch that AWS has no image of", [LR, "job.torch=\"1.0\""], ("job.torch", "2.14")),
    ("a region without images", [LR, "where.region=mars-north-1"], ("where.region", "us-east-1")),
    ("no region", [LR, "where.region=here"], ("where.region", "such as us-east-1")),
    ("a role that is none", [LR, "where.role=admin"], ("where.role", "admin")),
    ("a name with an underscore", [LR, "job.name=my_job"], ("job.name", "letters, digits")),
    ("a long name", [LR, "job.name=abcdefghijklmnop"], ("job.name", "11")),
    ("a prefix that climbs", [LR, "where.prefix=../x"], ("where.prefix", "inside the bucket")),
    ("an owner that is none", [LR, "where.bucket_owner=me"], ("where.bucket_owner", "12 digits")),
    ("six parents", [LR, "job.warm_start.parents=[a,b,c,d,e,f]"], ("job.warm_start.parents", "5")),
    ("an unknown warm start", [LR, "job.warm_start.type=Copy"], ("job.warm_start.type", "TransferLearning")),
    (
        "giving up after one",
        [LR, "job.completion.not_improving_jobs=1"],
        ("job.completion.not_improving_jobs", "3"),
    ),
    (
        "twelve more metrics",
        [LR, f"job.metrics=[{','.join(f'm{i}' for i in range(12))}]"],
        ("job.metrics", "20"),
    ),
    (
        "49 variables",
        [LR, "job.environment={" + ",".join(f"V{i}:1" for i in range(50)) + "}"],
        ("job.environment", "48"),
    ),
    ("a variable's name", [LR, "job.environment={'1X':a}"], ("job.environment", "1X")),
    (
        "a secret in the environment",
        [LR, "job.environment={WANDB_API_TOKEN:abc}"],
        ("job.environment", "secret"),
    ),
    ("51 tags", [LR, "job.tags={" + ",".join(f"t{i}:1" for i in range(51)) + "}"], ("job.tags", "50")),
    ("a tag's characters", [LR, "job.tags={'a#b':1}"], ("job.tags", "a#b")),
    ("a channel's place", [LR, "job.channels={extra:/data}"], ("job.channels", "/data")),
    ("a channel's name", [LR, "job.channels={'a b':'s3://b/k/'}"], ("job.channels", "a b")),
    ("an unknown input mode", [LR, "job.input_mode=Stream"], ("job.input_mode", "FastFile")),
    ("managed rules in a sweep", [LR, "debugger.managed=true"], ("debugger.managed", "hydra/sweeper=basic")),
    ("a checkpoint of this machine", [LR, "ckpt_path=README.md"], ("ckpt_path", "model.weights")),
    ("an unknown key of the job", [LR, "+job.max_job=3"], ("job.max_job", "max_jobs")),
    ("a missing data folder", [LR, "data=folder", "data.root=/no/such"], ("data.root", "/no/such")),
    ("no data folder", [LR, "data=folder"], ("data.root", "folder with the images")),
    (
        "a swept path of weights",
        ["model.weights='./a.pt','./b.pt'"],
        ("model.weights", "one value for all trials"),
    ),
    ("weights that are not there", [LR, "model.weights=/no/such.safetensors"], ("model.weights", "/no/such")),
    ("a bucket with s3://", [LR, "where.bucket='s3://mine'"], ("where.bucket", "without s3://")),
    ("Hyperband over epochs", ["epochs=5,20", "job.strategy=Hyperband"], ("epochs", "Hyperband itself")),
    ("a channel of ours", [LR, "job.channels={weights:'s3://b/k/'}"], ("job.channels", "is ours")),
    (
        "an own image that fetches",
        [LR, "job.packages=image", "job.image=i", "job.code=s3"],
        ("job.code", "channel"),
    ),
    (
        "spot without checkpoints",
        [LR, "job.spot=true", "job.checkpoints=false"],
        ("job.checkpoints", "begin again"),
    ),
    ("machines as names", [LR, "job.instances=[ml.g5.xlarge]"], ("job.instances", "type: ml.g5.xlarge")),
    ("machines without a type", [LR, "job.instances=[{typ:ml.g5.xlarge}]"], ("job.instances", "typ'")),
    ("metrics that are no names", [LR, "job.metrics=[{a:1}]"], ("job.metrics", "list of names")),
    ("a Neuron machine", [LR, "job.instance_type=ml.trn1.2xlarge"], ("job.instance_type", "Neuron")),
    ("an unknown key inside", [LR, "+job.hyperband.x=1"], ("job.hyperband.x", "min_epochs")),
    (
        "two kinds of disks under a key",
        [
            LR,
            "where.kms_key=12345678-1234-1234-1234-123456789abc",
            "job.instances=[{type:ml.g5.xlarge},{type:ml.m5.xlarge}]",
        ],
        ("job.instances", "local disks"),
    ),
    ("a bound that int cuts", ["batch_size=int(interval(8.5,64))"], ("batch_size", "cuts 8.5")),
    ("a shuffled interval", ["lr=shuffle(interval(1e-3,2e-3))"], ("lr", "does not take")),
    ("a tag on values", ["lr=tag(log,1e-3,2e-3)"], ("lr", "tag(log,1e-3,2e-3)")),
    ("a GPU trainer on a CPU", [LR, "trainer=gpu", "job=cpu"], ("job.instance_type", "no GPU")),
    ("a grid that stops early", [LR, "job.early_stopping=Auto"], ("job.early_stopping", "as a whole")),
    ("no bucket", [LR, "where.bucket=null"], ("where.bucket", "dry_run=true")),
    ("no role", [LR, "where.role=null"], ("where.role", "docs/aws-permissions.md")),
    ("no embedded server", [LR, "where=embedded", "where.endpoint_url=null", "where.server=null"],
     ("where.endpoint_url", "dry_run=true")),
    ("a server that is a word", [LR, "where=embedded", "where.server=fast"], ("where.server", "setting")),
    ("an unknown action", [LR, "action=wach"], ("action", "launch, list, watch, attach, stop, collect")),
    ("a dry run of an action", ["action=stop", "dry_run=true"], ("dry_run", "action=launch")),
    ("half a wait", [LR, "wait=5"], ("wait", "true or false")),
]  # fmt: skip # one case a line where it fits


def refusal(folder: Path, where: dict[str, Any], lines: list[str]) -> str:
    given = {line.partition("=")[0] for line in lines}
    account = [
        f"where.{key}='{where[key]}'"
        for key in ("region", "endpoint_url", "s3_endpoint_url", "role", "bucket", "bucket_owner")
        if f"where.{key}" not in given
    ]
    try:
        sweep(folder, *account, "job.include_untracked=true", *lines)
    except ConfigError as error:
        return str(error)
    except Exception as error:
        explained = hydra_errors.explain(error, ["launch.py", "-m", *lines])
        assert explained is not None, error
        return str(explained)
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize(("lines", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_refused_before_anything_is_sent(
    lines: list[str], said: tuple[str, ...], tmp_path: Path, where: dict[str, Any]
) -> None:
    message = refusal(tmp_path / "sweep", where, lines)
    for words in said:
        assert words in message
    clients = connect(where)
    assert clients.s3.list_objects_v2(Bucket=BUCKET).get("KeyCount") == 0
    assert clients.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_each_has_a_message_of_its_own(tmp_path: Path, where: dict[str, Any]) -> None:
    messages = [refusal(tmp_path / "sweep", where, case[1]) for case in BAD]
    assert len(BAD) >= 60
    twice = [message for message in messages if messages.count(message) > 1]
    assert twice == []


def test_what_only_hyperband_takes_is_checked_for_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, LR, "epochs=30000", "job.strategy=Random", "dry_run=true", "job.include_untracked=true")
    assert '"Random"' in capsys.readouterr().out
