"""Clients that know nothing of us ask a real model: boto3, both versions of the SDK, the founding program."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from launchers.endpoints.pack import pack
from sweepmaker.serving import inference
from tests.embedded.sweeping import CHECKOUT, Whole, until
from tests.embedded.test_clients import environment
from tests.images import photo_jpeg
from tests.serving.models import make_model

SDK2 = CHECKOUT / ".venv-sdk2" / "bin" / "python"
NAME = "dogs"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{seed}.jpg" for seed in range(4)]
    for seed, path in enumerate(paths):
        path.write_bytes(photo_jpeg(seed, (64 + seed, 48)))
    return paths


@pytest.fixture(scope="module")
def expected(model: Path, images: list[Path]) -> list[int]:
    """The class number of each image, by the handler itself."""
    network = inference.model_fn(str(model))
    read = [inference.input_fn(path.read_bytes(), "image/jpeg")[0] for path in images]
    probabilities = inference.predict_fn(read, network).probabilities
    return [int(row.argmax()) for row in probabilities]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Whole]:
    """A server with an endpoint in service."""
    folder = tmp_path_factory.mktemp("whole")
    with Whole(folder / "root", "poll_s=0.02", "stop_grace_s=5") as found:
        bucket = found.said["bucket"]
        packed = pack(model, folder / "model.tar.gz")
        found.client("s3").upload_file(str(packed.path), bucket, "m/model.tar.gz")
        sagemaker = found.client("sagemaker")
        sagemaker.create_model(
            ModelName=NAME,
            PrimaryContainer={
                "Image": "sweepmaker", "ModelDataUrl": f"s3://{bucket}/m/model.tar.gz",
                "Environment": {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", "SWEEPMAKER_ENGINE": "eager"},
            },
            ExecutionRoleArn=found.said["role"],
        )  # fmt: skip
        machine = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(
            EndpointConfigName=NAME,
            ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": NAME, **machine}],
        )
        sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
        in_service(found)
        yield found


def in_service(whole: Whole) -> None:
    whole.client("sagemaker").get_waiter("endpoint_in_service").wait(
        EndpointName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )


def run(whole: Whole, python: Path, program: str, folder: Path, *words: str) -> dict[str, str]:
    """What a user's program prints, by the first word of each line."""
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name(program)), NAME, *words],
        capture_output=True, text=True, timeout=200, cwd=folder, stdin=subprocess.DEVNULL,
        env={**environment(whole, folder), "SAGEMAKER_SUPPRESS_V2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return {first: rest for first, _, rest in lines}


def test_boto3_asks_with_every_form_of_an_image(
    whole: Whole, images: list[Path], expected: list[int]
) -> None:
    runtime = whole.client("sagemaker-runtime")

    def ask(body: bytes, **more: str) -> Any:
        return runtime.invoke_endpoint(EndpointName=NAME, Body=body, **more)["Body"].read()

    for path, number in zip(images, expected, strict=True):
        image = path.read_bytes()
        text = base64.b64encode(image)
        assert int(ask(image, ContentType="image/jpeg", Accept="text/plain")) == number
        assert int(ask(text, ContentType="application/octet-stream")) == number
        assert int(ask(text, ContentType="text/plain", Accept="text/plain")) == number
        body = json.dumps({"image": text.decode()}).encode()
        answer = json.loads(ask(body, ContentType="application/json", Accept="application/json"))
        assert answer["class"] == number


def test_the_founding_program_works_unchanged(
    whole: Whole, images: list[Path], expected: list[int], tmp_path: Path
) -> None:
    if not SDK2.exists():
        pytest.skip(f"{SDK2} is missing: make sdk2")
    told = run(whole, SDK2, "sdk2_client.py", tmp_path, str(images[1]))
    assert [int(told[form]) for form in ("BASE64", "IMAGE", "TEXT", "JSON")] == [expected[1]] * 4


def test_the_sdk_of_today(whole: Whole, images: list[Path], expected: list[int], tmp_path: Path) -> None:
    told = run(whole, Path(sys.executable), "sdk3_client.py", tmp_path, str(images[0]))
    assert told["STATUS"] == "InService"
    assert [int(told[form]) for form in ("IMAGE", "BASE64")] == [expected[0]] * 2
    assert (told["MADE"], told["LEFT"]) == (f"again {NAME}", NAME)


def test_only_this_machine_can_ask_the_process_itself(whole: Whole) -> None:
    listening = [
        connection.laddr
        for process in psutil.Process(whole.process.pid).children(recursive=True)
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_killed_and_started_again_the_endpoint_is_there(
    whole: Whole, images: list[Path], expected: list[int]
) -> None:
    before = whole.marked()
    assert before
    whole.kill()
    until(lambda: not any(map(psutil.pid_exists, before)), "end of the endpoint's processes")
    whole.start()
    in_service(whole)
    image = io.BytesIO(images[0].read_bytes())
    answer = whole.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=NAME, Body=image, ContentType="image/jpeg", Accept="text/plain"
    )
    assert int(answer["Body"].read()) == expected[0]
