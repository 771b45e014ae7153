"""How long a launch takes: from the start of the command until the create request is at the server.

`python launch.py -m ...` against the same tuning job through the SDK's own `HyperparameterTuner.tune`,
as a plain script. Both send to moto's server on the loopback interface, which forgets everything
between two runs, so that both upload their code each time. Wall time of whole processes.

    python benchmarks/launch_latency.py
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing import ROOT, Ratio, Report, finish, interleave, paired_ratio
from benchmarks.timing import parser as make_parser

REGION, BUCKET = "us-east-1", "sweeps"
ROLE = "arn:aws:iam::123456789012:role/sweeps"
IMAGE = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/pytorch:own"
CREATE = "SageMaker.CreateHyperParameterTuningJob"

OURS = [
    "launch.py", "-m", "+experiment=b2", "lr=tag(log,interval(1e-4,1e-1))", "batch_size=8,16,32",
    f"where.region={REGION}", f"where.role={ROLE}", f"where.bucket={BUCKET}", f"job.image={IMAGE}",
    "job.packages=index", "job.include_untracked=true",
]  # fmt: skip

# Without the SDK's check of the role, one more request to IAM, and without its telemetry.
SDK = """
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter
from sagemaker.core.training.configs import CheckpointConfig, Compute, OutputDataConfig, SourceCode
from sagemaker.core.training.configs import StoppingCondition
from sagemaker.train.model_trainer import ModelTrainer
from sagemaker.train.tuner import HyperparameterTuner

trainer = ModelTrainer(
    sagemaker_session=Session(default_bucket={bucket!r}), role={role!r}, training_image={image!r},
    source_code=SourceCode(source_dir={code!r}, entry_script="train.py"),
    compute=Compute(instance_type="ml.g5.xlarge", instance_count=1, volume_size_in_gb=50),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=14400),
    output_data_config=OutputDataConfig(s3_output_path="s3://{bucket}/sweepmaker/jobs/"),
    checkpoint_config=CheckpointConfig(s3_uri="s3://{bucket}/sweepmaker/checkpoints/"),
    hyperparameters={{"experiment": "b2"}},
)
tuner = HyperparameterTuner(
    trainer, "valid/top1_best",
    {{"lr": ContinuousParameter(1e-4, 1e-1, "Logarithmic"), "batch_size": CategoricalParameter([8, 16, 32])}},
    metric_definitions=[{{"Name": "valid/top1_best", "Regex": "valid/top1_best=([0-9.]+)"}}],
    max_jobs=8, max_parallel_jobs=2, early_stopping_type="Auto", base_tuning_job_name="sdk",
)
tuner.tune(wait=False)
"""


class Server:
    """moto's server, and when it got each create request (seconds of ``time.monotonic``)."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self.arrivals: list[float] = []
        self._app = DomainDispatcherApplication(create_backend_app)
        self.address = ""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_X_AMZ_TARGET") == CREATE:
            self.arrivals.append(time.monotonic())
        answer: Iterable[bytes] = self._app(environ, start)
        return answer

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve, in a thread."""
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # moto has not every call that the SDK makes
        server = make_server("127.0.0.1", 0, self, threaded=True)
        self.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def forget(self) -> None:
        """Nothing but an empty bucket."""
        self.arrivals.clear()
        for path, method in (("/moto-api/reset", "POST"), (f"/{BUCKET}", "PUT")):
            request = urllib.request.Request(self.address + path, data=b"", method=method)
            urllib.request.urlopen(request).close()


def seconds(server: Server, command: Sequence[str], environment: dict[str, str]) -> float:
    """From the start of ``command`` until its create request is at the server."""
    server.forget()
    start = time.monotonic()
    ended = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode or len(server.arrivals) != 1:
        raise SystemExit(f"{command[0]} ended with {ended.returncode}:\n{ended.stderr[-3000:]}")
    return server.arrivals[0] - start


def write_peer(folder: Path) -> Path:
    """The SDK's script, the code that it sends and its config; returns the script."""
    code = folder / "code"
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", code)
    (folder / "config.yaml").write_text(
        "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n"
    )
    script = folder / "sdk.py"
    script.write_text(SDK.format(bucket=BUCKET, role=ROLE, image=IMAGE, code=str(code)))
    return script


def main() -> None:
    options = make_parser(__doc__, repeats=7).parse_args()
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SAGEMAKER_"))}
    clean.pop("PYTHONDONTWRITEBYTECODE", None)  # our few files are compiled once, like the packages
    server = Server()
    with tempfile.TemporaryDirectory() as name, server.running():
        folder = Path(name)
        environment = clean | {
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": server.address,
            "SAGEMAKER_VALIDATE_ROLE": "false",
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(folder / "config.yaml"),
        }
        script = write_peer(folder)
        runs = iter(range(10**6))
        work = {
            "ours": lambda: seconds(
                server, [*OURS, f"hydra.sweep.dir={folder}/sweep{next(runs)}"], environment
            ),
            "SDK": lambda: seconds(server, [str(script)], environment),
        }
        measured = interleave(work, repeats=options.repeats)
    report = Report("command to create request", "s")
    for who, values in measured.items():
        report.add(f"tuning job: {who}", values)
    value = paired_ratio(measured["SDK"], measured["ours"])
    report.ratios.append(Ratio("launch, against the SDK's tuner", value, 3.0))
    finish(report, options)


if __name__ == "__main__":
    main()
