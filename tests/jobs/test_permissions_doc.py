"""docs/aws-permissions.md: the policies can be pasted, and name what the code calls."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name

from launchers import endpoints
from launchers.aws.answers import PERMISSIONS, S3_ACTIONS
from launchers.aws.clients import Clients
from launchers.jobs.submit import OPERATIONS
from tests.images import class_tree
from tests.jobs.aws import BUCKET
from tests.jobs.launching import account, sweep

PAGE = (Path(__file__).parents[2] / PERMISSIONS).read_text(encoding="utf-8")
SECTIONS = {
    part.splitlines()[0].strip("# "): re.findall(r"```json\n(.*?)```", part, re.DOTALL)
    for part in re.split(r"^(?=##+ )", PAGE, flags=re.MULTILINE)[1:]
}
POLICIES = [(title, text) for title, texts in SECTIONS.items() for text in texts]


def actions(text: str) -> set[str]:
    named: set[str] = set()
    for statement in json.loads(text)["Statement"]:
        action = statement["Action"]
        named |= {action} if isinstance(action, str) else set(action)
    return named


def section(begin: str) -> set[str]:
    return {name for title, text in POLICIES if title.startswith(begin) for name in actions(text)}


@pytest.mark.parametrize(("title", "text"), POLICIES, ids=[title[:30] for title, _ in POLICIES])
def test_a_policy_can_be_pasted(title: str, text: str) -> None:
    policy: dict[str, Any] = json.loads(text)
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        assert ("Resource" in statement) != ("Principal" in statement)
    for action in actions(text):
        assert re.fullmatch(r"[a-z0-9]+:[A-Z]\w+", action), "least privilege knows no wildcards"


def test_an_upload_may_do_what_the_code_does() -> None:
    assert section("`data.py") == set(S3_ACTIONS.values())


def test_a_launch_may_create_and_describe() -> None:
    needed = {operation.arn.removesuffix("Arn") for operation in OPERATIONS.values()}
    allowed = section("`launch.py`")
    assert allowed >= {f"sagemaker:{verb}{job}" for job in needed for verb in ("Create", "Describe")}
    assert {"iam:PassRole", "sagemaker:AddTags"} <= allowed


def test_a_deployment_may_do_what_the_code_does() -> None:
    """Every call that is made anywhere below launchers/endpoints, by its name there."""
    import botocore.session

    model = botocore.session.Session().get_service_model("sagemaker")
    names = {xform_name(name): name for name in model.operation_names}
    text = "".join(path.read_text() for path in Path(endpoints.__file__).parent.glob("*.py"))
    called = {f"sagemaker:{api}" for name, api in names.items() if re.search(rf"[.\"]{name}\b", text)}
    assert {"sagemaker:CreateEndpoint", "sagemaker:DeleteModel", "sagemaker:CreateModelPackage"} <= called
    described = {"sagemaker:DescribeHyperParameterTuningJob", "sagemaker:DescribeTrainingJob"}
    allowed = section("`deploy.py")
    assert allowed >= called | described | {"sagemaker:InvokeEndpoint", "iam:PassRole"}
    ours = {name for name in allowed if name.startswith("sagemaker:")}
    assert ours == called | described | {"sagemaker:InvokeEndpoint", "sagemaker:AddTags"}


def test_every_sagemaker_action_is_one_of_the_services() -> None:
    import botocore.session

    session = botocore.session.Session()
    known = set(session.get_service_model("sagemaker").operation_names)
    known |= set(session.get_service_model("sagemaker-runtime").operation_names)
    for _, text in POLICIES:
        ours = {name.removeprefix("sagemaker:") for name in actions(text) if name.startswith("sagemaker:")}
        assert ours <= known


def test_a_role_is_only_handed_to_sagemaker() -> None:
    passing = [text for _, text in POLICIES if "iam:PassRole" in text]
    assert len(passing) == 2
    for text in passing:
        (statement,) = [s for s in json.loads(text)["Statement"] if s["Action"] == "iam:PassRole"]
        assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        assert statement["Resource"].endswith("role/ROLE")


def test_every_folder_of_a_request_is_covered(
    tmp_path: Path, where: dict[str, Any], clients: Clients
) -> None:
    """What a launch puts and what a job reads and writes lies below the prefixes of the policies."""
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"weights")
    class_tree(tmp_path / "images")
    sweep(
        tmp_path / "sweep", *account(where), "lr=1,2", f"model.weights='{weights}'", "data=folder",
        f"data.root='{tmp_path / 'images'}'",
    )  # fmt: skip
    request = (tmp_path / "sweep" / "launch.json").read_text()
    put = [item["Key"] for item in clients.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    used = {key.split("/")[1] for key in put} | set(re.findall(rf"s3://{BUCKET}/sweepmaker/(\w+)", request))
    assert used == {"code", "data", "weights", "jobs", "checkpoints"}
    caller, _, role = PAGE.partition("ReadInputs")
    for folder in {key.split("/")[1] for key in put}:
        assert f"BUCKET/PREFIX/{folder}/*" in caller and f"BUCKET/PREFIX/{folder}/*" in role, folder
    for folder in (*used, "debugger"):
        assert f"BUCKET/PREFIX/{folder}/*" in role, folder
